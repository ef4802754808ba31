// Package cpulevel chooses which implementation of the kernels a process runs:
// portable Go, AVX2 or AVX-512. All levels give the same bits, so the choice is a
// matter of speed alone; the packages with kernels (ddpm/kernel, ddpm/rng,
// allreduce) make it alike.
//
// The best level that the CPU and the build have is taken; the build tag purego
// leaves portable code alone. The environment variable DDPM_CPU_LEVEL forces a
// level: portable, avx2 or avx512. Check reports a value that cannot be met.
package cpulevel
