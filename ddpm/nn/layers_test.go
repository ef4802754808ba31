package nn

import (
	"math"
	"testing"

	"gorgonia.org/tensor"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
)

// gorgonia's own entry points reach our kernels: a product of views, too.
func TestGorgoniaMatMulRunsOnOurEngine(t *testing.T) {
	e := NewEngine(nil)
	a := e.Wrap([]float32{1, 2, 3, 4, 5, 6}, 2, 3)
	b := e.Wrap([]float32{1, 0, 2, 1, 0, 3}, 2, 3)
	if err := b.T(); err != nil {
		t.Fatal(err)
	}
	y, err := tensor.MatMul(a, b)
	if err != nil {
		t.Fatal(err)
	}
	want := []float32{7, 10, 16, 22}
	for i, v := range y.Data().([]float32) {
		if v != want[i] {
			t.Fatalf("product is %v, want %v", y.Data(), want)
		}
	}
	if err := e.MatMul(a, a, b); err == nil {
		t.Error("a product of shapes that do not fit is accepted")
	}
}

// Values of the paper's code for dim 128, t = 10.
func TestSinusoidGolden(t *testing.T) {
	y := NewEngine(nil).Sinusoid([]int{0, 10}, 128, SinusoidForm{}).Float32s()[128:]
	for i, want := range map[int]float64{
		0: -0.54402111, 1: 0.70674982, 2: 0.92520486,
		64: -0.83907153, 65: -0.70746357, 66: 0.37946800,
	} {
		if math.Abs(float64(y[i])-want) > 1e-6 {
			t.Errorf("element %d is %.8f, want %.8f", i, y[i], want)
		}
	}
}

func TestDropoutDropsItsShareAndScales(t *testing.T) {
	e := NewEngine(nil)
	d := NewDropout(e, 1, 0.25)
	x := e.New(2, 100, 100, 1)
	for i := range x.Float32s() {
		x.Float32s()[i] = 1
	}
	d.Forward(x, &Masks{Seed: 1, Keys: []Key{{1, 2}, {1, 3}}})
	zeros := 0
	for _, v := range x.Float32s() {
		switch v {
		case 0:
			zeros++
		case float32(1 / 0.75):
		default:
			t.Fatalf("an element became %v", v)
		}
	}
	if share := float64(zeros) / 20000; math.Abs(share-0.25) > 0.015 {
		t.Errorf("%.3f of the elements are dropped, want 0.25", share)
	}
}

// An image's mask depends on its key alone, not on its place in the batch or on
// the threads.
func TestDropoutFollowsTheExample(t *testing.T) {
	run := func(threads int, keys ...Key) []float32 {
		pool := kernel.NewPool(threads)
		defer pool.Close()
		e := NewEngine(pool)
		x := e.New(len(keys), 9, 9, 3)
		for i := range x.Float32s() {
			x.Float32s()[i] = 1
		}
		NewDropout(e, 2, 0.5).Forward(x, &Masks{Seed: 1, Keys: keys})
		return append([]float32(nil), x.Float32s()...)
	}
	both := run(1, Key{4, 0}, Key{4, 1})
	alone := run(3, Key{4, 1})
	for i, v := range alone {
		if v != both[len(alone)+i] {
			t.Fatalf("element %d differs", i)
		}
	}
}
