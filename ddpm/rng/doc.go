// Package rng is the randomness of a run: counted, never drawn.
//
// Every random number is a pure function of a 64-bit seed and a counter that
// names what the number is for: (purpose, step, example, element). Nothing
// holds a generator state, so nothing has to be saved, and a number is the same
// whichever worker computes it, whenever, and on whichever processor.
//
// The generator is Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random
// numbers: as easy as 1, 2, 3", SC 2011), checked against Random123's vectors.
// On it stand normals by Box and Muller, integers in a range, and a keyed
// permutation of [0, n) in constant memory.
//
// Exp, Log, Sin and Cos are here because those of package math are assembly on
// some architectures and may be fused on others; these have one meaning
// everywhere. Each product that is added to something is converted explicitly,
// which is how Go forbids fusing it.
package rng
