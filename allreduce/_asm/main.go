// Command _asm writes the assembly of package allreduce and its Go stubs. Run it by
// go generate in the package's folder.
package main

import (
	. "github.com/mmcloughlin/avo/build"
)

func main() {
	ConstraintExpr("!purego")
	accumulateAVX2(true)
	accumulateAVX2(false)
	convertSmallAVX2()
	accumulateAVX512(true)
	accumulateAVX512(false)
	meansAVX2(true)
	meansAVX2(false)
	zigzag()
	pack()
	unpack(false)
	unpack(true)
	add()
	zigzagAVX512()
	packAVX512()
	unpackAVX512(alone)
	unpackAVX512(added)
	unpackAVX512(above)
	bf16()
	crc()
	results()
	Generate()
}
