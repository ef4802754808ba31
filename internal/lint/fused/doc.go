// Command fused fails where the Go compiler fused a multiplication and an addition
// in the packages that are its arguments, patterns as go build takes them.
//
// The Go specification allows an implementation to compute x*y + z with one
// rounding in place of two. On arm64, ppc64, riscv64, s390x, and on amd64 from
// GOAMD64=v3, the compiler does; on plain amd64 it doesn't. The same source then
// has two meanings, and a run's weights would depend on the machine. An explicit
// conversion of the product, float32(x*y) + z, forbids the fusion everywhere.
//
// Reading cannot find each place, since inlining brings products and sums
// together. So the command compiles for arm64, where fusing is always on, and
// looks for the instructions in the compiler's listing. Hand-written assembly and
// the modules that we import don't appear in it.
package main
