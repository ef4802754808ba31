package ddpm

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"math"
	"unsafe"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/rng"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/unet"
	"github.com/ddpm-cluster/ddpm-cluster/internal/hugepages"
)

// State is what a step reads and writes: four vectors in the order of
// unet.Config.Params, and how many steps they have seen.
type State struct {
	// Step counts completed steps, the skipped ones included.
	Step uint64
	// Weights are the live weights, M and V Adam's moments, EMA the moving average
	// of the weights, which sampling uses.
	Weights, M, V, EMA []float32
}

// NewState returns the state before the first step: weights as the paper's code
// initialises them, zero moments, the average equal to the weights. A pure
// function of the spec, which must not name weights to begin with.
func NewState(s Spec) *State {
	if s.Init != "" {
		panic("ddpm: NewState of a run that begins with weights from elsewhere")
	}
	n := s.Model.ParamCount()
	st := EmptyState(n)
	for i, p := range s.Model.Params() {
		initParam(st.Weights[p.Offset:p.Offset+p.Len()], p, s.Seed, uint32(i))
	}
	copy(st.EMA, st.Weights)
	return st
}

// StateFrom returns the state before the first step of a run that begins with given
// weights, those that its Spec.Init names: zero moments, the average equal to the
// weights.
func StateFrom(weights []float32) *State {
	st := EmptyState(len(weights))
	copy(st.Weights, weights)
	copy(st.EMA, weights)
	return st
}

// WeightsDigest names weights: "sha256:" and the SHA-256, in hex, of the flat vector,
// little-endian.
func WeightsDigest(weights []float32) string {
	h := sha256.New()
	hashFloats(h, weights)
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// EmptyState returns a zero state for n parameters, to be loaded into.
func EmptyState(n int) *State {
	return &State{
		Weights: hugepages.Make[float32](n), M: hugepages.Make[float32](n),
		V: hugepages.Make[float32](n), EMA: hugepages.Make[float32](n),
	}
}

func initParam(dst []float32, p unet.Param, seed uint64, number uint32) {
	switch p.Init {
	case unet.InitZero:
		clear(dst)
	case unet.InitOne:
		for i := range dst {
			dst[i] = 1
		}
	case unet.InitFanAvg:
		rng.Uniforms(dst, fanAvgLimit(p, 1), seed, rng.Init, 0, number)
	case unet.InitFanAvgTiny:
		rng.Uniforms(dst, fanAvgLimit(p, 1e-10), seed, rng.Init, 0, number)
	}
}

// fanAvgLimit is sqrt(3·scale/((fan_in+fan_out)/2)), each fan counting the taps
// of the kernel (Ho's default_init with mode fan_avg).
func fanAvgLimit(p unet.Param, scale float64) float64 {
	taps := 1
	for _, d := range p.Shape[2:] {
		taps *= d
	}
	fans := float64((p.Shape[0] + p.Shape[1]) * taps)
	return math.Sqrt(6 * scale / fans)
}

// Digest names the state: "sha256:" and the SHA-256, in hex, over the step and
// the four vectors (weights, M, V, EMA), all little-endian. Two runs with equal
// digests have equal bits.
func (s *State) Digest() string {
	h := sha256.New()
	var step [8]byte
	binary.LittleEndian.PutUint64(step[:], s.Step)
	h.Write(step[:])
	for _, v := range [][]float32{s.Weights, s.M, s.V, s.EMA} {
		hashFloats(h, v)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

func hashFloats(h hash.Hash, v []float32) {
	if littleEndian() {
		h.Write(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), 4*len(v)))
		return
	}
	var b [4]byte
	for _, x := range v {
		binary.LittleEndian.PutUint32(b[:], math.Float32bits(x))
		h.Write(b[:])
	}
}

func littleEndian() bool {
	one := uint16(1)
	return *(*byte)(unsafe.Pointer(&one)) == 1
}

// Copy makes s equal to from, which must have as many parameters.
func (s *State) Copy(from *State) {
	s.Step = from.Step
	copy(s.Weights, from.Weights)
	copy(s.M, from.M)
	copy(s.V, from.V)
	copy(s.EMA, from.EMA)
}
