package rng

import "math/bits"

const (
	philoxM0 = 0xD2511F53
	philoxM1 = 0xCD9E8D57
	philoxW0 = 0x9E3779B9
	philoxW1 = 0xBB67AE85
	rounds   = 10
)

// Philox4x32 returns the four 32-bit words that Philox4x32-10 gives for the
// counter under the key (low word of the key first, as Random123 orders them).
func Philox4x32(key uint64, ctr [4]uint32) [4]uint32 {
	k0, k1 := uint32(key), uint32(key>>32)
	c0, c1, c2, c3 := ctr[0], ctr[1], ctr[2], ctr[3]
	for range rounds {
		hi0, lo0 := bits.Mul32(philoxM0, c0)
		hi1, lo1 := bits.Mul32(philoxM1, c2)
		c0, c1, c2, c3 = hi1^c1^k0, lo1, hi0^c3^k1, lo0
		k0 += philoxW0
		k1 += philoxW1
	}
	return [4]uint32{c0, c1, c2, c3}
}
