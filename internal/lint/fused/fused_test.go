package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The compiler may fuse in lines 2, 4, 6, 8 and, for line 9, in 11.
const sample = `package sample
func add32(x, y, z float32) float32 { return x*y + z }
func separate32(x, y, z float32) float32 { return float32(x*y) + z }
func sub64(x, y, z float64) float64 { return z - x*y }
func separate64(x, y, z float64) float64 { return z - float64(x*y) }
func negated32(x, y, z float32) float32 { return -(x*y) - z }
func product(x, y float32) float32 { return x * y }
func negated64(x, y, z float64) float64 { return x*y - z }
func inlined(x, y, z float32) float32 { return plus(times(x, y), z) }
func times(x, y float32) float32 { return x * y }
func plus(x, y float32) float32 { return x + y }
`

// compile lists the sample as the compiler on this machine does for arm64.
func compile(t *testing.T) []byte {
	t.Helper()
	dir := t.TempDir()
	source := filepath.Join(dir, "sample.go")
	if err := os.WriteFile(source, []byte(sample), 0o600); err != nil {
		t.Fatal(err)
	}
	c := arm64("tool", "compile", "-S", "-p", "sample", "-o", filepath.Join(dir, "sample.o"), source)
	listing, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", c.Args, err, listing)
	}
	return listing
}

func TestScanFindsWhatTheCompilerFuses(t *testing.T) {
	found, instructions, err := scan(bytes.NewReader(compile(t)))
	if err != nil {
		t.Fatal(err)
	}
	if instructions == 0 {
		t.Fatal("no instruction seen")
	}
	var lines []string
	for _, f := range found {
		_, line, _ := strings.Cut(f.place, "sample.go:")
		lines = append(lines, line)
	}
	slices.Sort(lines)
	lines = slices.Compact(lines)
	// The product that is inlined with its sum is found where the sum stands.
	if want := []string{"11", "2", "4", "6", "8"}; !slices.Equal(lines, want) {
		t.Errorf("fused in lines %v, want %v: %v", lines, want, found)
	}
}

func TestScanOfNoListing(t *testing.T) {
	found, instructions, err := scan(strings.NewReader("x.go:1:1: expected 'package'\nFMADDD\n\tFMADDD\tF1, F2\n"))
	if err != nil || len(found) != 0 || instructions != 0 {
		t.Errorf("got %v of %d instructions, %v", found, instructions, err)
	}
}
