package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// lineCopies generates the copy of rows to the rows of panels. It asks for the lines
// of the row after the next, since rows that are far apart are no pattern that the
// processor's own prefetching follows.
func lineCopies() {
	const ahead = 2
	function("copyLines", "dst *float32, dstRow int, dstLine int, src *float32, srcRow int, rows int, lines int",
		"is copyLinesPortable for rows and lines above zero.")
	dst, src := Load(Param("dst"), GP64()).(GPVirtual), Load(Param("src"), GP64()).(GPVirtual)
	dstRow, dstLine, srcRow := Load(Param("dstRow"), GP64()), Load(Param("dstLine"), GP64()), Load(Param("srcRow"), GP64())
	rows, lines := Load(Param("rows"), GP64()), Load(Param("lines"), GP64())
	for _, step := range []Register{dstRow, dstLine, srcRow} {
		SHLQ(Imm(2), step.(GPVirtual))
	}
	to, from, left := GP64(), GP64(), GP64()
	Label("row")
	MOVQ(dst, to)
	MOVQ(src, from)
	MOVQ(lines, left)
	Label("line")
	PREFETCHT0(Mem{Base: from, Index: srcRow, Scale: ahead})
	low, high := load(Mem{Base: from}), load(Mem{Base: from, Disp: 4 * lanes})
	VMOVUPS(low, Mem{Base: to})
	VMOVUPS(high, Mem{Base: to, Disp: 4 * lanes})
	ADDQ(Imm(line), from)
	ADDQ(dstLine, to)
	DECQ(left)
	JNZ(LabelRef("line"))
	ADDQ(dstRow, dst)
	ADDQ(srcRow, src)
	DECQ(rows)
	JNZ(LabelRef("row"))
	end()
}
