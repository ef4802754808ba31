// Command _asm writes the AVX2 assembly of package kernel and its Go stubs. Run
// it by go generate in the package's folder.
package main

import (
	. "github.com/mmcloughlin/avo/build"
)

func main() {
	ConstraintExpr("!purego")
	for rows := 1; rows <= tileRows; rows++ {
		micro(rows)
	}
	exponentials()
	vectors()
	softmax()
	groupNorm()
	adam()
	transposes()
	Generate()
}
