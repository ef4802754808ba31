package checkpoint

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/storage"
)

func TestRetain(t *testing.T) {
	for _, test := range []struct {
		name   string
		r      Retention
		damage map[uint64]string // by step: an object that gets a flipped bit, or "" for no manifest
		gone   []uint64
	}{
		{"all", Retention{}, nil, nil},
		{"every alone", Retention{Every: 20}, nil, nil},
		{"one", Retention{Last: 1}, nil, []uint64{10, 20, 30, 40}},
		{"two", Retention{Last: 2}, nil, []uint64{10, 20, 30}},
		{"two and every 20", Retention{Last: 2, Every: 20}, nil, []uint64{10, 30}},
		{"more than there are", Retention{Last: 9}, nil, nil},
		{"a damaged newest", Retention{Last: 1}, map[uint64]string{50: PartKey(0, 2)}, []uint64{10, 20, 30}},
		{"an unfinished newest", Retention{Last: 1}, map[uint64]string{50: ""}, []uint64{10, 20, 30}},
		{"an unfinished old one", Retention{Last: 3}, map[uint64]string{40: ""}, []uint64{10, 40}},
		{"all damaged", Retention{Last: 1}, map[uint64]string{10: PartKey(0, 2), 20: "", 30: PartKey(1, 2), 40: SamplesKey, 50: ""}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			st, dir := newStore(t)
			other := map[string]string{
				"runs/digits.2/checkpoints/step-00000010/manifest.json": "theirs",
				"runs/digits/checkpoints/notes.txt":                     "theirs",
				"runs/digits/run.json":                                  "the run's",
			}
			for key, content := range other {
				if _, err := st.Put(t.Context(), key, strings.NewReader(content), int64(len(content)), "text/plain"); err != nil {
					t.Fatal(err)
				}
			}
			all := []uint64{10, 20, 30, 40, 50}
			for _, step := range all {
				publish(t, st, save(t, st, step, newState(20, step), 2))
				if rel, ok := test.damage[step]; ok && rel == "" {
					if err := st.Delete(t.Context(), StepPrefix(testRun, step)+ManifestKey); err != nil {
						t.Fatal(err)
					}
				} else if ok {
					flip(t, dir, StepPrefix(testRun, step)+rel, 777)
				}
			}
			gone, err := Retain(t.Context(), st, testRun, test.r)
			if err != nil || !slices.Equal(gone, test.gone) {
				t.Fatalf("gone %v, %v; want %v", gone, err, test.gone)
			}
			for _, step := range all {
				infos, err := st.List(t.Context(), StepPrefix(testRun, step))
				if err != nil || (len(infos) == 0) != slices.Contains(gone, step) {
					t.Errorf("step %d has %d objects, %v", step, len(infos), err)
				}
			}
			for key := range other {
				if r, _, err := st.Get(t.Context(), key); err != nil {
					t.Error(err)
				} else if err := r.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// At every moment of a deletion what is listed is whole: the manifest goes first.
func TestDeleteTakesTheManifestFirst(t *testing.T) {
	st, _ := newStore(t)
	publish(t, st, save(t, st, 10, newState(20, 10), 2))
	for {
		err := Delete(t.Context(), &dying{Store: st, left: 1}, testRun, 10)
		all, _, lerr := List(t.Context(), st, testRun)
		if lerr != nil || len(all) != 0 {
			t.Fatalf("listed %v, %v", all, lerr)
		}
		if err == nil {
			break
		}
		if !errors.Is(err, errLost) {
			t.Fatal(err)
		}
	}
	if infos, err := st.List(t.Context(), StepPrefix(testRun, 10)); err != nil || len(infos) != 0 {
		t.Errorf("left %v, %v", infos, err)
	}
}

// dying is a Store that breaks after some deletions of what is there.
type dying struct {
	storage.Store
	left int
}

func (d *dying) Delete(ctx context.Context, key string) error {
	infos, err := d.List(ctx, key)
	if err != nil || len(infos) == 0 {
		return err
	}
	if d.left == 0 {
		return errLost
	}
	d.left--
	return d.Store.Delete(ctx, key)
}
