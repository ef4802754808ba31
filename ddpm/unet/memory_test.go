package unet

import (
	"runtime"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
)

// narrow is the CIFAR-10 network with a quarter of the channels, and so with a
// quarter of the activations.
func narrow() Config {
	c := cifar10()
	c.Channels, c.Groups, c.Dropout = []int{32, 64, 64, 64}, 8, 0.1
	return c
}

// kept is what Backward needs of an image, in elements: the inputs of all blocks,
// each skip tensor once, and of each residual block the first convolution's output
// besides.
func kept(c Config) int {
	n := 0
	for _, b := range append(append(c.downBlocks(), c.midBlock()), c.upBlocks()...) {
		pixels := b.size * b.size
		for j, in := range b.in {
			x := in
			if b.skip != nil {
				x -= b.skip[j]
			}
			n += pixels * (x + b.out)
		}
		n += pixels * b.out * b.attentions
		if b.resample {
			n += pixels * b.out
		}
	}
	return n + c.Size*c.Size*c.Channels[0] // the head's input
}

// rows is what an image takes that has no pixels: the sinusoids, and the time
// embedding before and after each SiLU.
func rows(c Config) int { return c.Channels[0] + 4*c.TimeChannels() }

func TestActivationMemory(t *testing.T) {
	if mib := 4 * float64(kept(cifar10())) / (1 << 20); mib < 11.6 || mib > 11.7 {
		t.Errorf("the CIFAR-10 network keeps %.2f MiB an image; nn/doc.go says 11.6", mib)
	}
	if testing.Short() {
		t.Skip("it takes long without vector code")
	}
	const images, size = 2, 4
	c := narrow()
	pool := kernel.NewPool(2)
	defer pool.Close()
	net := New(c, pool)
	net.SetWeights(randomWeights(c))
	x, ts := randomImages(c, images)
	grad := make([]float32, c.ParamCount())
	keys := make([]Key, images)
	for range 2 { // the first pass finds out what the second needs
		out := net.Forward(x, ts, Training(0, keys))
		if got, want := net.e.Usage().Live, size*images*(kept(c)+rows(c)+c.ImageLen()); got != want {
			t.Errorf("%d bytes are kept, want %d", got, want)
		}
		net.Backward(out, grad, nil)
	}
	u := net.e.Usage()
	if want := size * images * c.ImageLen(); u.Live != want {
		t.Errorf("%d bytes are in use after Backward, want the output's %d", u.Live, want)
	}
	// The last residual block needs most: its convolution's input and that of its
	// norm, twice a map's channels each, and two gradients; its h, its x and the
	// head's x are no longer there.
	widest := c.Size * c.Size * c.Channels[0]
	if most := size * images * (kept(c) + 3*widest + 2*rows(c) + c.ImageLen()); u.Peak > most {
		t.Errorf("%d bytes are in use at one time, want at most %d", u.Peak, most)
	}
	if u.Arena < u.Peak || u.Arena > u.Peak*11/10 {
		t.Errorf("the arena has %d bytes for %d", u.Arena, u.Peak)
	}

	net.Forward(x, ts, Sampling())
	u = net.e.Usage()
	if want := size * images * (rows(c) + c.ImageLen()); u.Live != want {
		t.Errorf("%d bytes are in use after a pass for sampling, want %d", u.Live, want)
	}
	// In the first block of the last level: two skip tensors, a convolution's input
	// and that of its norm, three maps wide each, and the convolution's output.
	if most := size * images * (9*widest + rows(c) + c.TimeChannels()); u.Peak > most {
		t.Errorf("%d bytes are in use at one time in a pass for sampling, want at most %d", u.Peak, most)
	}
}

// A step that is like the one before it allocates no tensor. What it does allocate
// are the bodies of the pool's loops, some hundred bytes each.
func TestStepsAllocateLittle(t *testing.T) {
	c := small()
	pool := kernel.NewPool(2)
	defer pool.Close()
	net := New(c, pool)
	net.SetWeights(randomWeights(c))
	x, ts := randomImages(c, 3)
	d, grad, keys := make([]float32, len(x)), make([]float32, c.ParamCount()), make([]Key, 3)
	step := func() {
		net.Forward(x, ts, Training(3, keys))
		net.Backward(d, grad, nil)
	}
	for range 3 {
		step()
	}
	var before, after runtime.MemStats
	const steps = 10
	runtime.ReadMemStats(&before)
	for range steps {
		step()
	}
	runtime.ReadMemStats(&after)
	const most = 160 << 10
	if got := (after.TotalAlloc - before.TotalAlloc) / steps; got > most {
		t.Errorf("%d bytes in %d allocations a step, want at most %d bytes", got, (after.Mallocs-before.Mallocs)/steps, most)
	}
}

func TestBackwardNeedsATrainingPass(t *testing.T) {
	c := small()
	net := New(c, nil)
	net.SetWeights(randomWeights(c))
	x, ts := randomImages(c, 1)
	net.Forward(x, ts, Sampling())
	defer func() {
		if recover() == nil {
			t.Error("Backward follows a pass for sampling")
		}
	}()
	net.Backward(x, make([]float32, c.ParamCount()), nil)
}

// The first pass has memory as it comes, those after it lie where the arena has
// planned, beside what earlier passes left there: all give the same bits.
func TestPassesAreAlike(t *testing.T) {
	c := small()
	pool := kernel.NewPool(3)
	defer pool.Close()
	net := New(c, pool)
	net.SetWeights(randomWeights(c))
	x, ts := randomImages(c, 3)
	keys := []Key{{Step: 5, Slot: 0}, {Step: 5, Slot: 1}, {Step: 5, Slot: 2}}
	var out, grad []float32
	for pass, images := range []int{3, 3, 3, 2, 3, 3} {
		o := net.Forward(x[:images*c.ImageLen()], ts[:images], Training(3, keys[:images]))
		g := make([]float32, c.ParamCount())
		net.Backward(o, g, nil)
		switch {
		case pass == 0:
			out, grad = append(out, o...), g
		case images == len(ts):
			sameBits(t, "output", o, out)
			sameBits(t, "gradient", g, grad)
		default: // a pass of another kind between them
			sameBits(t, "output of fewer images", o, out[:len(o)])
		}
	}
	c.Dropout = 0
	plain := New(c, pool)
	plain.SetWeights(randomWeights(c))
	want := append([]float32(nil), plain.Forward(x, ts, Training(3, nil))...)
	for range 3 {
		sameBits(t, "prediction", net.Forward(x, ts, Sampling()), want)
	}
}

func TestSamplingBytes(t *testing.T) {
	const images = 2
	for name, c := range map[string]Config{"small": small(), "narrow": narrow()} {
		net := New(c, nil)
		net.SetWeights(randomWeights(c))
		x, ts := randomImages(c, images)
		net.Forward(x, ts, Sampling())
		if peak, want := net.e.Usage().Peak, images*c.SamplingBytes(); peak > want || 2*peak < want {
			t.Errorf("%s: a pass has %d bytes in use at one time, where %d are foretold", name, peak, want)
		}
	}
}
