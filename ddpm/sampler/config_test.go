package sampler

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/diffusion"
)

func TestBatchFitsTheImages(t *testing.T) {
	for imageLen, want := range map[int]int{1: 16, 24 * 24: 16, 32 * 32 * 3: 16, 64 * 64 * 3: 4, 256 * 256 * 3: 1, 1 << 30: 1} {
		if got := (Config{}).batch(imageLen); got != want {
			t.Errorf("images of %d values: %d at once, want %d", imageLen, got, want)
		}
	}
	if got := (Config{Batch: 5}).batch(1 << 30); got != 5 {
		t.Errorf("asked for 5, got %d", got)
	}
}

// The examples of Lin et al. 2023, table 2, and of DDIM's code.
func TestSpacings(t *testing.T) {
	for _, c := range []struct {
		config Config
		want   []int
	}{
		{Config{Method: DDIM, Steps: 10, Spacing: Leading}, []int{900, 800, 700, 600, 500, 400, 300, 200, 100, 0}},
		{Config{Method: DDIM, Steps: 10, Spacing: Trailing}, []int{999, 899, 799, 699, 599, 499, 399, 299, 199, 99}},
		{Config{Method: DDIM, Steps: 10, Spacing: Linspace}, []int{999, 888, 777, 666, 555, 444, 333, 222, 111, 0}},
		{Config{Method: DDIM, Steps: 10, Spacing: Quadratic}, []int{800, 632, 483, 355, 246, 158, 88, 39, 9, 0}},
		{Config{Method: UniPC, Steps: 4, Spacing: Leading}, []int{800, 600, 400, 200}},
		{Config{Method: DPMPP2M, Steps: 3, Spacing: Linspace}, []int{999, 666, 333}},
		{Config{Method: DDIM, Steps: 1, Spacing: Trailing}, []int{999}},
	} {
		got, err := c.config.timesteps(1000)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v, %v; want %v", c.config, got, err, c.want)
		}
	}
}

// Whatever is accepted visits timesteps of the model, each once, downwards.
func TestTimestepsFall(t *testing.T) {
	for _, T := range []int{1, 2, 7, 10, 1000} {
		for _, method := range Methods() {
			for _, spacing := range Spacings() {
				for steps := 1; steps <= T; steps += 1 + T/97 {
					ts, err := Config{Method: method, Steps: steps, Spacing: spacing}.timesteps(T)
					if err != nil {
						continue
					}
					falls := slices.IsSortedFunc(ts, func(a, b int) int { return b - a }) && len(slices.Compact(slices.Clone(ts))) == len(ts)
					if !falls || ts[0] >= T || ts[len(ts)-1] < 0 {
						t.Fatalf("T %d, %s, %s, %d steps: %v", T, method, spacing, steps, ts)
					}
				}
			}
		}
	}
}

func TestDefaultsAreValid(t *testing.T) {
	for _, T := range []int{2, 30, 1000} {
		process := diffusion.Linear(diffusion.FixedSmall)
		process.Steps = T
		for _, method := range Methods() {
			if err := Defaults(method, process).Validate(process, 0); err != nil {
				t.Errorf("%s for %d timesteps: %v", method, T, err)
			}
		}
	}
}

// A scheduler that was taken over without clipping draws so by default.
func TestClippingIsTheProcess(t *testing.T) {
	process := diffusion.Linear(diffusion.FixedSmall)
	for _, noClip := range []bool{false, true} {
		process.NoClip = noClip
		for _, method := range Methods() {
			if got := Defaults(method, process).Clip; got == noClip {
				t.Errorf("%s: clip is %v where the process' no_clip is %v", method, got, noClip)
			}
		}
	}
}

func TestValidateSaysWhatIsWrong(t *testing.T) {
	process := diffusion.Linear(diffusion.FixedLarge)
	for says, c := range map[string]struct {
		method string
		edit   func(*Config)
	}{
		`sampler "euler"`:      {"euler", func(*Config) {}},
		"steps 0":              {DDIM, func(c *Config) { c.Steps = 0 }},
		"steps 1001":           {DDIM, func(c *Config) { c.Steps = 1001 }},
		"1 … 999":              {UniPC, func(c *Config) { c.Steps = 1000 }},
		"t = 0 alone":          {DDIM, func(c *Config) { c.Steps = 1 }},
		"eta 2":                {DDIM, func(c *Config) { c.Eta = 2 }},
		"eta NaN":              {DDIM, func(c *Config) { c.Eta = math.NaN() }},
		"only the sampler":     {Heun, func(c *Config) { c.Eta = 0.5 }},
		`spacing "log"`:        {DDIM, func(c *Config) { c.Spacing = "log" }},
		`variance "learned"`:   {Ancestral, func(c *Config) { c.Variance = "learned" }},
		`variance "fixed_larg`: {DDIM, func(c *Config) { c.Variance = diffusion.FixedLarge }},
		"has no classes":       {DDIM, func(c *Config) { c.Guidance = 3 }},
		"the model has none":   {DDIM, func(c *Config) { c.Classes = []int{1} }},
		"guidance -1":          {DDIM, func(c *Config) { c.Guidance = -1 }},
		"at least 2":           {DDIM, func(c *Config) { c.Towards = &Interpolation{Seed: 1, Images: 1} }},
		"to itself":            {DDIM, func(c *Config) { c.Towards = &Interpolation{Images: 5} }},
		"name one class":       {DDIM, func(c *Config) { c.Classes, c.Towards = []int{3, 8}, &Interpolation{Seed: 1, Images: 5} }},
		"must add no noise":    {Ancestral, func(c *Config) { c.Towards = &Interpolation{Seed: 1, Images: 5} }},
	} {
		config := Defaults(c.method, process)
		c.edit(&config)
		if err := config.Validate(process, 0); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("want an error with %q, got %v", says, err)
		}
	}
	c := Defaults(DDIM, process)
	c.Classes = []int{3, 10}
	if err := c.Validate(process, 10); err == nil || !strings.Contains(err.Error(), "class 10") {
		t.Errorf("class 10 of 10: %v", err)
	}
}

func TestSlerpKeepsTheEndsAndTheLength(t *testing.T) {
	c := Config{Seed: 3, Towards: &Interpolation{Seed: 4, Images: 5}}
	x, first, last := make([]float32, 400), make([]float32, 400), make([]float32, 400)
	Config{Seed: 3}.start(first, 0)
	Config{Seed: 4}.start(last, 0)
	for i := range uint32(5) {
		c.start(x, i)
		var sum, one, two float64
		for j, v := range x {
			sum += float64(v) * float64(v)
			one += math.Abs(float64(v - first[j]))
			two += math.Abs(float64(v - last[j]))
		}
		if length := math.Sqrt(sum / 400); length < 0.85 || length > 1.15 {
			t.Errorf("image %d starts from noise of deviation %.2f", i, length)
		}
		if i == 0 && one > 1e-4 || i == 4 && two > 1e-4 {
			t.Errorf("image %d is %.1e from the first end and %.1e from the last", i, one, two)
		}
	}
}

// A process of one timestep has none for a multistep solver beside t = 0.
func TestOneTimestepIsTooFewForMultistep(t *testing.T) {
	process := diffusion.Linear(diffusion.FixedSmall)
	process.Steps = 1
	for _, method := range []string{DPMPP2M, UniPC} {
		c := Defaults(method, process)
		if err := c.Validate(process, 0); err == nil || !strings.Contains(err.Error(), "needs a process of at least 2 timesteps, and the model has 1") {
			t.Errorf("%s: %v", method, err)
		}
		c.Spacing = Trailing
		if err := c.Validate(process, 0); err != nil {
			t.Errorf("%s with %s spacing, which is advised: %v", method, c.Spacing, err)
		}
	}
}
