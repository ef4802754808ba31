package kernel

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"testing"
)

// goldens are the first bytes of the SHA-256 of each kernel's results on fixed
// operands. They hold on every architecture. A kernel whose meaning changes gives
// other weights to every run: change a value here only with that in mind.
var goldens = map[string]string{
	"Exp/5000":               "986d843495c89407",
	"SiLU/5000":              "323f584494c0e99c",
	"SiLUGrad/5000":          "885341a7aac48982",
	"SiLUGradInPlace/5000":   "8782db4db2acb5ad",
	"Add/5000":               "d07da53239b62eda",
	"AddTo/5000":             "adba97dad08786aa",
	"Scale/5000":             "b282878e5976faee",
	"Axpy/5000":              "167c3c3b61716392",
	"Adam/5000":              "dcb8a78a3452747c",
	"SumSquares/5000":        "cdf8d7d9f7492a06",
	"AddRow/70x45":           "59a321977cc21f90",
	"ColSum/70x45":           "d76c5e182a5aa56a",
	"ColSumAccumulate/70x45": "35ab979f6e0f3bca",
	"SoftmaxRows/70x45":      "d1c6109f7951ac91",
	"SoftmaxRowsGrad/70x45":  "fe074cf96506864e",
	"GroupNorm/{N:2 HW:130 C:20 Groups:4 Eps:1e-06}":                "8ee90f26152806ed",
	"GroupNormSiLU/{N:2 HW:130 C:20 Groups:4 Eps:1e-06}":            "48a0a80694f23d12",
	"GroupNormRepeat/{N:2 HW:130 C:20 Groups:4 Eps:1e-06}":          "f704f9fb8a6d92f2",
	"GroupNormRepeatSiLU/{N:2 HW:130 C:20 Groups:4 Eps:1e-06}":      "9adc480ae5a06d83",
	"GroupNormBackward/{N:2 HW:130 C:20 Groups:4 Eps:1e-06}":        "50dd6486d5ae9b28",
	"GroupNormBackwardSiLU/{N:2 HW:130 C:20 Groups:4 Eps:1e-06}":    "712c5288934d7d0d",
	"GroupNormBackwardInPlace/{N:2 HW:130 C:20 Groups:4 Eps:1e-06}": "5189408c387ccdc0",
	"Gemm/13x21x600":           "428cff10c66b8fc0",
	"GemmAccumulate/13x21x600": "4c2dee0dc3806997",
	"GemmTransposed/13x21x600": "467cec41ccca0c59",
	"ConvForward/{N:2 H:9 W:7 Cin:37 Cout:19 K:3 Stride:1 Pad:1 PadEnd:1}":        "c0c368e81a9b0eda",
	"ConvGradInput/{N:2 H:9 W:7 Cin:37 Cout:19 K:3 Stride:1 Pad:1 PadEnd:1}":      "51b9b3f12a045e14",
	"ConvGradWeight/{N:2 H:9 W:7 Cin:37 Cout:19 K:3 Stride:1 Pad:1 PadEnd:1}":     "42b08f668edb1f01",
	"ConvForward/{N:2 H:9 W:7 Cin:37 Cout:19 K:3 Stride:2 Pad:0 PadEnd:1}":        "174dee2ce71eb730",
	"ConvGradInput/{N:2 H:9 W:7 Cin:37 Cout:19 K:3 Stride:2 Pad:0 PadEnd:1}":      "b00beb9830d3d932",
	"ConvGradWeight/{N:2 H:9 W:7 Cin:37 Cout:19 K:3 Stride:2 Pad:0 PadEnd:1}":     "ffbb88671dff450b",
	"WinogradForward/{N:2 H:9 W:7 Cin:48 Cout:32 K:3 Stride:1 Pad:1 PadEnd:1}":    "c08db4dd72a57cce",
	"WinogradGradInput/{N:2 H:9 W:7 Cin:48 Cout:32 K:3 Stride:1 Pad:1 PadEnd:1}":  "fcc32982349391b4",
	"WinogradGradWeight/{N:2 H:9 W:7 Cin:48 Cout:32 K:3 Stride:1 Pad:1 PadEnd:1}": "268a151446fbf87a",
}

// TestGolden checks the meaning of the kernels against earlier builds and other
// architectures.
func TestGolden(t *testing.T) {
	g := GroupNorm{N: 2, HW: 130, C: 20, Groups: 4, Eps: 1e-6}
	c := Conv{N: 2, H: 9, W: 7, Cin: 37, Cout: 19, K: 3, Stride: 1, Pad: 1, PadEnd: 1}
	down := c
	down.Stride, down.Pad = 2, 0
	var cases []kernelCase
	cases = append(cases, elementwiseCases(5000)...)
	cases = append(cases, rowCases(70, 45)...)
	cases = append(cases, groupNormCases(g)...)
	cases = append(cases, gemmCases(13, 21, 600)...)
	cases = append(cases, convKernelCases(c)...)
	cases = append(cases, convKernelCases(down)...)
	cases = append(cases, winogradKernelCases(same3(2, 9, 7, 48, 32))...)
	for _, k := range cases {
		rng := rand.New(rand.NewPCG(1, 2))
		var operands [][]float32
		for _, n := range k.lens {
			s := make([]float32, n)
			for i := range s {
				// Positive, so that square roots have a meaning; integers and divisions
				// give the same on every architecture.
				s[i] = float32(1+rng.IntN(1<<20)) / (1 << 18)
			}
			operands = append(operands, s)
		}
		k.run(nil, operands)
		h := sha256.New()
		for _, s := range operands {
			for _, v := range s {
				h.Write(binary.LittleEndian.AppendUint32(nil, math.Float32bits(v)))
			}
		}
		got := hex.EncodeToString(h.Sum(nil)[:8])
		if want := goldens[k.name]; got != want {
			t.Errorf("%q: %q, want %q", k.name, got, want)
		}
	}
}
