package sampler

import (
	"math"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/diffusion"
)

// Every process that is valid can be drawn from: the shortest, and one that leaves next
// to nothing of an image.
func TestDrawsAreFinite(t *testing.T) {
	for _, steps := range []int{1, 2, 13_000} {
		process := diffusion.Linear(diffusion.FixedSmall)
		process.Steps = steps
		if err := process.Validate(); err != nil {
			t.Fatal(err)
		}
		m := Model{Predictor: &classNoise{}, Tables: diffusion.NewTables(process), ImageLen: 4}
		for _, method := range Methods() {
			for _, clip := range []bool{true, false} {
				c := Defaults(method, process)
				c.Spacing, c.Clip, c.Steps = Trailing, clip, min(30, steps)
				x, err := Draw(t.Context(), m, c, []uint32{0}, Watch{})
				if err != nil {
					t.Fatal(err)
				}
				for _, v := range x[0] {
					if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
						t.Errorf("%d timesteps, %s, clip %v: drew %v", steps, method, clip, x[0])
						break
					}
				}
			}
		}
	}
}
