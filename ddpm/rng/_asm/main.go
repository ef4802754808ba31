// Command _asm writes the assembly of package rng and its Go stubs. Run it by go
// generate in the package's folder.
package main

import (
	. "github.com/mmcloughlin/avo/build"
)

func main() {
	ConstraintExpr("!purego")
	for _, s := range []isa{avx2, avx512} {
		normals(s)
		uniforms(s)
		masks(s)
	}
	Generate()
}
