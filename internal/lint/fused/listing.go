package main

import (
	"bufio"
	"io"
	"regexp"
)

// instruction matches an instruction in the compiler's listing (-gcflags=-S): its
// place in the source as file:line, then its mnemonic.
var instruction = regexp.MustCompile(`^\t0x[0-9a-f]+ \d+ \((.+:\d+)\)\t([A-Z0-9.]+)`)

// fusedMnemonic matches arm64's fused multiply-add, its negated forms and the
// subtractions, of float32 (S) and float64 (D).
var fusedMnemonic = regexp.MustCompile(`^FN?M(ADD|SUB)[SD]$`)

// finding is a fused instruction and the source line that it comes from.
type finding struct {
	place, mnemonic string
}

// scan reads a listing for arm64. It returns the fused instructions, each place and
// mnemonic once, in the order of the listing, and how many instructions it saw.
func scan(listing io.Reader) (found []finding, instructions int, err error) {
	lines := bufio.NewScanner(listing)
	lines.Buffer(nil, 1<<24)
	seen := make(map[finding]bool)
	for lines.Scan() {
		m := instruction.FindSubmatch(lines.Bytes())
		if m == nil {
			continue
		}
		instructions++
		f := finding{place: string(m[1]), mnemonic: string(m[2])}
		if fusedMnemonic.Match(m[2]) && !seen[f] {
			seen[f] = true
			found = append(found, f)
		}
	}
	return found, instructions, lines.Err()
}
