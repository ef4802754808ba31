package allreduce

import (
	"hash/crc32"
	"math/rand/v2"
	"testing"
)

// The checksum is CRC-32C at every level, for every length and wherever it lies.
func TestLevelsCheckAlike(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 11))
	p := make([]byte, 4<<10)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	table := crc32.MakeTable(crc32.Castagnoli)
	check := func(t *testing.T) {
		if sum := castagnoli([]byte("123456789")); sum != 0xe3069283 {
			t.Errorf("%08x of the check string of CRC-32C", sum)
		}
		for n := range 1300 {
			for _, q := range [][]byte{p[:n], p[n%67:][:n], p[len(p)-n:]} {
				if got, want := castagnoli(q), crc32.Checksum(q, table); got != want {
					t.Fatalf("%08x of %d bytes, want %08x", got, n, want)
				}
			}
		}
		for i := range 1024 { // each bit counts
			q := p[:1024]
			was := castagnoli(q)
			q[i] ^= 1 << (i % 8)
			if castagnoli(q) == was {
				t.Fatalf("bit %d of byte %d does not count", i%8, i)
			}
		}
	}
	t.Run("active", check)
	atLevels(t, check)
}

func BenchmarkChecksum(b *testing.B) {
	p := make([]byte, 256<<10)
	for b.Loop() {
		castagnoli(p)
	}
	b.SetBytes(int64(len(p)))
}
