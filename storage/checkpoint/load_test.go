package checkpoint

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/storage/safetensors"
)

// Parts that are whole but do not fill the state are corrupt, whatever their hash.
func TestPartsMustTile(t *testing.T) {
	const n = 10
	s := newState(n, 1)
	part := func(offset, length, total int64) Part {
		v := func(v []float32) []float32 { return v[offset : offset+length] }
		return Part{Offset: offset, Total: total, Weights: v(s.Weights), M: v(s.M), V: v(s.V), EMA: v(s.EMA)}
	}
	tests := map[string][]Part{
		"no part fills [4, 5)":             {part(0, 4, n), part(5, 5, n)},
		"no part fills [9, 10)":            {part(0, 4, n), part(4, 5, n)},
		"no part fills [0, 1)":             {part(1, 4, n), part(5, 5, n)},
		"and another part":                 {part(0, 6, n), part(5, 5, n)},
		"is not that of a part of 10 para": {part(0, 5, n), part(5, 4, 9)},
	}
	for want, parts := range tests {
		st, _ := newStore(t)
		m := save(t, st, 1, s, 2)
		for i, p := range parts {
			o, err := WritePart(t.Context(), st, testRun, 1, i, 2, p)
			if err != nil {
				t.Fatal(err)
			}
			m.Objects[i] = o
		}
		publish(t, st, m)
		m, err := At(t.Context(), st, testRun, 1)
		if err != nil {
			t.Fatal(err)
		}
		err = Load(t.Context(), st, m, emptyState(n))
		if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	// In any order, and of nothing, they do.
	st, _ := newStore(t)
	m := save(t, st, 1, s, 3)
	for i, p := range []Part{part(4, 6, n), part(4, 0, n), part(0, 4, n)} {
		o, err := WritePart(t.Context(), st, testRun, 1, i, 3, p)
		if err != nil {
			t.Fatal(err)
		}
		m.Objects[i] = o
	}
	publish(t, st, m)
	loadNewest(t, st, 1, n)
}

func TestWrongTensorsInAPart(t *testing.T) {
	const n = 4
	s := newState(n, 1)
	meta := map[string]string{"offset": "0", "total": "4", "step": "1"}
	tensor := func(name string, n int) safetensors.Tensor {
		return safetensors.Tensor{Name: name, Shape: []int{n}, Data: s.EMA[:n]}
	}
	for want, tensors := range map[string][]safetensors.Tensor{
		"it has 3 tensors, not 4": {tensor("ema", n), tensor("exp_avg", n), tensor("weights", n)},
		"tensor bias of F32[4]":   {tensor("ema", n), tensor("exp_avg", n), tensor("exp_avg_sq", n), tensor("bias", n)},
		"tensor weights of":       {tensor("ema", n), tensor("exp_avg", n), tensor("exp_avg_sq", n), tensor("weights", 3)},
		"it has 0 tensors":        {},
	} {
		st, _ := newStore(t)
		m := save(t, st, 1, s, 1)
		o, err := writeTensors(t.Context(), st, testRun, 1, PartKey(0, 1), meta, tensors)
		if err != nil {
			t.Fatal(err)
		}
		m.Objects[0] = o
		publish(t, st, m)
		if m, err = At(t.Context(), st, testRun, 1); err != nil {
			t.Fatal(err)
		}
		if err := Load(t.Context(), st, m, emptyState(n)); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// A Store that can't be read is no corrupt checkpoint: going on from an older one
// would throw steps away.
func TestReadFailuresAreNotCorruption(t *testing.T) {
	st, _ := newStore(t)
	publish(t, st, save(t, st, 10, newState(50, 10), 2))
	publish(t, st, save(t, st, 20, newState(50, 20), 2))
	for _, rerr := range []error{errLost, io.EOF, io.ErrUnexpectedEOF} {
		for _, after := range []int64{0, 3, 8, 100, 300} {
			m, err := At(t.Context(), st, testRun, 20)
			if err != nil {
				t.Fatal(err)
			}
			broken := brokenReads{st, after, rerr}
			_, _, err = NewestLoadable(t.Context(), st, testRun, func(m Manifest) error {
				return Load(t.Context(), broken, m, emptyState(50))
			})
			_, eerr := LoadEMA(t.Context(), broken, m)
			for _, err := range []error{err, eerr} {
				if err == nil || errors.Is(err, ErrCorrupt) || errors.Is(err, ErrNone) {
					t.Errorf("%v after %d bytes: %v", rerr, after, err)
				}
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m, err := At(t.Context(), st, testRun, 20)
	if err != nil {
		t.Fatal(err)
	}
	if err := Load(ctx, st, m, emptyState(50)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestLoadOfAnotherModel(t *testing.T) {
	st, _ := newStore(t)
	publish(t, st, save(t, st, 10, newState(50, 10), 2))
	m, err := At(t.Context(), st, testRun, 10)
	if err != nil {
		t.Fatal(err)
	}
	err = Load(t.Context(), st, m, emptyState(51))
	if err == nil || errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "50 parameters, the model 51") {
		t.Errorf("got %v", err)
	}
	uneven := emptyState(50)
	uneven.V = uneven.V[:49]
	if err := Load(t.Context(), st, m, uneven); err == nil || errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v", err)
	}
}

func TestLoadEMA(t *testing.T) {
	st, dir := newStore(t)
	s := newState(50, 10)
	publish(t, st, save(t, st, 10, s, 2))
	m, err := At(t.Context(), st, testRun, 10)
	if err != nil {
		t.Fatal(err)
	}
	// Sampling does not need the parts.
	for i := range 2 {
		if err := st.Delete(t.Context(), StepPrefix(testRun, 10)+PartKey(i, 2)); err != nil {
			t.Fatal(err)
		}
	}
	tensors, err := LoadEMA(t.Context(), st, m)
	if err != nil || len(tensors) != 2 || !slices.Equal(tensors["conv_in.weight"].Data, s.EMA) || !slices.Equal(tensors["conv_in.bias"].Shape, []int{1}) {
		t.Fatalf("got %v, %v", tensors, err)
	}
	key := StepPrefix(testRun, 10) + UNetWeightsKey
	for bit := 0; bit < 3200; bit += 31 {
		flip(t, dir, key, bit)
		if _, err := LoadEMA(t.Context(), st, m); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), key) {
			t.Fatalf("bit %d: %v", bit, err)
		}
		flip(t, dir, key, bit)
	}
	if err := st.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadEMA(t.Context(), st, m); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "missing") {
		t.Errorf("got %v", err)
	}
}
