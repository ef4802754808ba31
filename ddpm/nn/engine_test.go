package nn

import "testing"

func TestTensorsLiveAsLongAsTheirOwners(t *testing.T) {
	e := NewEngine(nil)
	x := e.New(4, 16)
	if e.Share(x) != x {
		t.Error("Share gives another tensor")
	}
	e.Release(x)
	if e.Usage().Live != 4*64 {
		t.Errorf("one of two owners is left, and %d bytes are in use", e.Usage().Live)
	}
	e.Release(x, nil)
	if e.Usage() != (Usage{Peak: 4 * 64}) {
		t.Errorf("usage without owners: %+v", e.Usage())
	}
	for name, use := range map[string]func(){
		"Release": func() { e.Release(x) },
		"Share":   func() { e.Share(x) },
		"Keep":    func() { e.ResetForward(); e.Keep(x) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s takes a tensor that nobody owns", name)
				}
			}()
			use()
		}()
	}
}

func TestKeepIsForBackward(t *testing.T) {
	e := NewEngine(nil)
	x := e.New(3)
	if e.Keep(x) != x || e.Usage().Live == 0 {
		t.Error("nothing is kept")
	}
	e.Reset()
	if h := e.find[x]; h != nil && h.owners > 0 {
		t.Error("a tensor still has an owner after Reset")
	}
	e.ResetForward()
	if x := e.New(3); e.Keep(x) != nil || e.Usage().Live != 0 {
		t.Error("something is kept where no Backward follows")
	}
}

// A pass like the one before it gets its tensors, headers included.
func TestTensorsAreUsedAgain(t *testing.T) {
	e := NewEngine(nil)
	data := make([]float32, 6)
	pass := func(rows int) [3]Tensor {
		e.Reset()
		x, y := e.New(rows, 3), e.Wrap(data, 2, 3)
		e.Release(x)
		return [3]Tensor{x, y, e.Zeros(2, 2)}
	}
	pass(5)
	first := pass(5)
	if pass(5) != first {
		t.Error("the tensors of the last pass are not used again")
	}
	if n := testing.AllocsPerRun(10, func() { pass(5) }); n > 0 {
		t.Errorf("%v allocations in a pass", n)
	}
	for _, rows := range []int{6, 5} {
		if x := pass(rows)[0]; x.Shape()[0] != rows || len(x.Float32s()) != 3*rows {
			t.Errorf("%d rows: a tensor of shape %v and %d elements", rows, x.Shape(), len(x.Float32s()))
		}
	}
	if err := first[2].T(); err != nil {
		t.Fatal(err)
	}
	if z := pass(5)[2]; z.DataOrder().IsTransposed() {
		t.Error("a tensor is still transposed")
	}
}
