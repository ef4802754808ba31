// Command _asm writes the assembly of package kernel and its Go stubs. Run it by
// go generate in the package's folder.
package main

import (
	"flag"
	"log"

	. "github.com/mmcloughlin/avo/build"
)

func main() {
	// Each set of functions is a file of its own.
	sets := map[string]func(){
		"kernel": func() {
			exponentials()
			vectors()
			softmax()
			groupNorm()
			adam()
			transposes()
			lineCopies()
		},
		"product":  func() { micros(); peaks() },
		"winograd": winograd,
	}
	set := flag.String("set", "", "the `functions` to write")
	flag.Parse()
	write, ok := sets[*set]
	if !ok {
		log.Fatalf("-set %q: there is no such set of functions", *set)
	}
	ConstraintExpr("!purego")
	write()
	Generate()
}
