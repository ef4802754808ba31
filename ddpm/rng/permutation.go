package rng

import (
	"fmt"
	"math/bits"
)

// Permutation is a keyed permutation of [0, n) in constant memory: a balanced
// Feistel network over the smallest even number of bits that holds n, walked
// until it lands in range (Black and Rogaway, "Ciphers with arbitrary finite
// domains", CT-RSA 2002). The walk takes fewer than four turns on average.
type Permutation struct {
	n    uint64
	seed uint64
	id   uint64
	half uint
}

const feistelRounds = 8

// NewPermutation returns permutation number id of [0, n) under the seed.
// 0 < n <= 2^62.
func NewPermutation(seed, id, n uint64) Permutation {
	if n == 0 || n > 1<<62 {
		panic(fmt.Sprintf("rng: a permutation of %d elements", n))
	}
	half := uint(bits.Len64(n-1)+1) / 2
	return Permutation{n: n, seed: seed, id: id, half: max(half, 1)}
}

// At returns where the permutation takes i. i must be below n.
func (p Permutation) At(i uint64) uint64 {
	if i >= p.n {
		panic(fmt.Sprintf("rng: element %d of a permutation of %d", i, p.n))
	}
	for {
		i = p.encipher(i)
		if i < p.n {
			return i
		}
	}
}

func (p Permutation) encipher(x uint64) uint64 {
	mask := uint64(1)<<p.half - 1
	l, r := x>>p.half, x&mask
	for round := range uint32(feistelRounds) {
		w := Philox4x32(p.seed, Counter(Order, p.id, uint32(r), round))
		l, r = r, l^(uint64(w[0])&mask)
	}
	return l<<p.half | r
}
