package main

import (
	. "github.com/mmcloughlin/avo/build"
)

// winograd generates the parts of the Winograd convolutions.
func winograd() {
	for _, s := range []isa{avx2, avx512} {
		transforms(s)
		for _, width := range []int{2, 1} {
			tileProduct(s, width)
			channelProduct(s, width)
		}
	}
}

// begin starts a function. It is not NOSPLIT, since a transform keeps more on its
// stack than such a function may.
func (s isa) begin(name, signature, doc string) {
	TEXT(name+s.suffix, 0, "func("+signature+")")
	Pragma("noescape")
	Doc(name + s.suffix + " " + doc)
}
