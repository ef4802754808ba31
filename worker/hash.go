package worker

import (
	"encoding/binary"
	"unsafe"

	"github.com/cespare/xxhash/v2"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
)

// hashGrain is how many weights are hashed at once. Part of what the hash is: all
// members use the same.
const hashGrain = 1 << 18

// hashWeights is a hash of the bits of the weights, the same for any number of
// threads. It tells replicas apart that a broken machine has led apart, and is not
// made to withstand anybody's intent.
func hashWeights(p *kernel.Pool, weights []float32) uint64 {
	parts := make([]uint64, (len(weights)+hashGrain-1)/hashGrain)
	p.For(len(parts), 1, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			w := weights[i*hashGrain : min((i+1)*hashGrain, len(weights))]
			parts[i] = xxhash.Sum64(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(w))), 4*len(w)))
		}
	})
	var all []byte
	for _, h := range parts {
		all = binary.LittleEndian.AppendUint64(all, h)
	}
	return xxhash.Sum64(all)
}
