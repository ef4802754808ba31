package main

import (
	"strconv"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// lineCopies generates the copies of rows, and of the columns of tiles, to where the
// micro kernels read them. They ask for what is two rows ahead, since rows that are far
// apart are no pattern that the processor's own prefetching follows.
func lineCopies() {
	lineCopy("copyLines", 2)
	lineCopy("copyHalfLines", 1)
}

// lineCopy generates the copy of pieces of so many vectors.
func lineCopy(name string, vectors int) {
	const ahead = 2
	function(name, "dst *float32, dstRow int, dstStep int, src *float32, srcRow int, srcStep int, rows int, n int",
		"is copyPiecesPortable for pieces of "+strconv.Itoa(vectors*lanes)+" values, and rows and n above zero.")
	dst, src := Load(Param("dst"), GP64()).(GPVirtual), Load(Param("src"), GP64()).(GPVirtual)
	rows, n := Load(Param("rows"), GP64()), Load(Param("n"), GP64())
	steps := make([]Register, 4)
	for i, step := range []string{"dstRow", "dstStep", "srcRow", "srcStep"} {
		steps[i] = Load(Param(step), GP64())
		SHLQ(Imm(2), steps[i].(GPVirtual))
	}
	to, from, left := GP64(), GP64(), GP64()
	Label("row")
	MOVQ(dst, to)
	MOVQ(src, from)
	MOVQ(n, left)
	Label("piece")
	PREFETCHT0(Mem{Base: from, Index: steps[2], Scale: ahead})
	for i := range vectors {
		VMOVUPS(load(Mem{Base: from, Disp: 4 * lanes * i}), Mem{Base: to, Disp: 4 * lanes * i})
	}
	ADDQ(steps[1], to)
	ADDQ(steps[3], from)
	DECQ(left)
	JNZ(LabelRef("piece"))
	ADDQ(steps[0], dst)
	ADDQ(steps[2], src)
	DECQ(rows)
	JNZ(LabelRef("row"))
	end()
}
