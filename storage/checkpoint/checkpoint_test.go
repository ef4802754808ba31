package checkpoint

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/storage"
	"github.com/ddpm-cluster/ddpm-cluster/storage/safetensors"
)

// Any number of parts, also more than parameters, gives the same state back.
func TestPartsOfAnyNumber(t *testing.T) {
	for _, n := range []int{1, 2, 7, 1001} {
		for _, parts := range []int{1, 2, 3, 8, 13} {
			st, _ := newStore(t)
			want := newState(n, 5)
			publish(t, st, save(t, st, 5, want, parts))
			m, skipped, err := Newest(t.Context(), st, testRun)
			if err != nil || len(skipped) != 0 {
				t.Fatal(skipped, err)
			}
			got := emptyState(n)
			if err := Load(t.Context(), st, m, got); err != nil {
				t.Fatalf("%d parameters in %d parts: %v", n, parts, err)
			}
			if !got.equal(want) || m.Digest != digest(got) || m.Parts != parts {
				t.Errorf("%d parameters in %d parts came back differently", n, parts)
			}
		}
	}
}

func TestLayout(t *testing.T) {
	st, _ := newStore(t)
	publish(t, st, save(t, st, 5000, newState(10, 1), 2))
	infos, err := st.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, info := range infos {
		got = append(got, strings.TrimPrefix(info.Key, "runs/digits/checkpoints/step-00005000/"))
	}
	want := []string{
		"manifest.json", "model_index.json", "samples.png", "state/part-00000-of-00002.safetensors",
		"state/part-00001-of-00002.safetensors", "unet/diffusion_pytorch_model.safetensors",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	m, err := At(t.Context(), st, testRun, 5000)
	if err != nil {
		t.Fatal(err)
	}
	data, err := ReadObject(t.Context(), st, m, SamplesKey)
	if err != nil || string(data) != "a picture" {
		t.Errorf("got %q, %v", data, err)
	}
	part, err := ReadObject(t.Context(), st, m, PartKey(1, 2))
	if err != nil {
		t.Fatal(err)
	}
	f, err := safetensors.Parse(part)
	if err != nil {
		t.Fatal(err)
	}
	if meta := fmt.Sprint(f.Metadata); meta != "map[format:pt offset:5 step:5000 total:10]" {
		t.Errorf("a part says %s", meta)
	}
	if names := f.Names(); !slices.Equal(names, []string{"ema", "exp_avg", "exp_avg_sq", "weights"}) {
		t.Errorf("a part has %q", names)
	}
}

// Whatever is missing of a checkpoint, the one before is used, and what is wrong is
// told. Writing the step again repairs it.
func TestHalfWritten(t *testing.T) {
	whole := func() (storage.Store, []string) {
		st, _ := newStore(t)
		publish(t, st, save(t, st, 10, newState(50, 10), 3))
		publish(t, st, save(t, st, 20, newState(50, 20), 3))
		infos, err := st.List(t.Context(), StepPrefix(testRun, 20))
		if err != nil {
			t.Fatal(err)
		}
		var keys []string
		for _, info := range infos {
			keys = append(keys, info.Key)
		}
		return st, keys
	}
	_, keys := whole()
	for i, key := range keys {
		st, _ := whole()
		if err := st.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		m, skipped, err := Newest(t.Context(), st, testRun)
		if err != nil || m.Step != 10 || len(skipped) != 1 || skipped[0].Step != 20 {
			t.Fatalf("without %s: %+v, %v, %v", key, m, skipped, err)
		}
		want := strings.TrimPrefix(key, StepPrefix(testRun, 20))
		if want == ManifestKey {
			want = "no manifest"
		}
		if !strings.Contains(skipped[0].Reason, want) {
			t.Errorf("without %s the reason is %q", key, skipped[0].Reason)
		}
		unfinished := want == "no manifest"
		if skipped[0].Unfinished != unfinished || strings.Contains(skipped[0].Reason, "corrupt") == unfinished {
			t.Errorf("without %s: %+v", key, skipped[0])
		}
		if _, err := At(t.Context(), st, testRun, 20); !errors.Is(err, ErrCorrupt) {
			t.Errorf("without %s: At says %v", key, err)
		}
		all, skipped, err := List(t.Context(), st, testRun)
		if err != nil || len(all) != 1 || all[0].Step != 10 || len(skipped) != 1 {
			t.Errorf("without %s: List says %v, %v, %v", key, all, skipped, err)
		}
		publish(t, st, save(t, st, 20, newState(50, 20), 1+i%4))
		loadNewest(t, st, 20, 50)
	}
}

// loadNewest checks that the newest loadable checkpoint is that of a step, and
// returns what was skipped.
func loadNewest(t *testing.T, st storage.Store, step uint64, n int) []Skipped {
	t.Helper()
	got := emptyState(n)
	m, skipped, err := NewestLoadable(t.Context(), st, testRun, func(m Manifest) error { return Load(t.Context(), st, m, got) })
	if err != nil || m.Step != step || !got.equal(newState(n, step)) {
		t.Fatalf("got step %d, want %d; %v, %v", m.Step, step, skipped, err)
	}
	return skipped
}

// Any bit of any part, of the manifest too, may flip: the checkpoint before is used.
func TestBitFlips(t *testing.T) {
	const n = 40
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	st, dir := newStore(t)
	publish(t, st, save(t, st, 10, newState(n, 10), 2))
	m := save(t, st, 20, newState(n, 20), 3)
	publish(t, st, m)
	for range 100 {
		rel := []string{PartKey(0, 3), PartKey(1, 3), PartKey(2, 3), ManifestKey}[random.IntN(4)]
		key, bit := StepPrefix(testRun, 20)+rel, random.IntN(1<<20)
		flip(t, dir, key, bit)
		skipped := loadNewest(t, st, 10, n)
		if len(skipped) != 1 || skipped[0].Step != 20 || !strings.Contains(skipped[0].Reason, strings.TrimSuffix(rel, ".json")) {
			t.Fatalf("bit %d of %s: skipped %v", bit, rel, skipped)
		}
		flip(t, dir, key, bit)
	}
	if skipped := loadNewest(t, st, 20, n); len(skipped) != 0 {
		t.Errorf("nothing is wrong, but skipped %v", skipped)
	}
	// Publishing anew repairs a checkpoint that was cut into other parts before.
	flip(t, dir, StepPrefix(testRun, 20)+PartKey(0, 3), 12345)
	publish(t, st, save(t, st, 20, newState(n, 20), 2))
	if skipped := loadNewest(t, st, 20, n); len(skipped) != 0 {
		t.Errorf("after the repair skipped %v", skipped)
	}
}

func TestSizeChanges(t *testing.T) {
	st, dir := newStore(t)
	publish(t, st, save(t, st, 10, newState(9, 10), 2))
	name := filepath.Join(dir, StepPrefix(testRun, 10), PartKey(1, 2))
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int64{0, info.Size() - 1, info.Size() + 1} {
		if err := os.Truncate(name, size); err != nil {
			t.Fatal(err)
		}
		if _, skipped, err := Newest(t.Context(), st, testRun); !errors.Is(err, ErrNone) || len(skipped) != 1 {
			t.Errorf("%d of %d bytes: %v, %v", size, info.Size(), skipped, err)
		}
	}
}

func TestNoCheckpoint(t *testing.T) {
	st, _ := newStore(t)
	if _, skipped, err := Newest(t.Context(), st, testRun); !errors.Is(err, ErrNone) || len(skipped) != 0 {
		t.Errorf("got %v, %v", skipped, err)
	}
	if all, skipped, err := List(t.Context(), st, testRun); err != nil || len(all)+len(skipped) != 0 {
		t.Errorf("got %v, %v, %v", all, skipped, err)
	}
	if _, err := At(t.Context(), st, testRun, 5); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	// What people put beside checkpoints is nobody's.
	for _, key := range []string{"notes.txt", "step-5/manifest.json", "step-0000000x/manifest.json", "best/manifest.json"} {
		if _, err := st.Put(t.Context(), CheckpointsPrefix(testRun)+key, strings.NewReader("x"), 1, "text/plain"); err != nil {
			t.Fatal(err)
		}
	}
	if _, skipped, err := Newest(t.Context(), st, testRun); !errors.Is(err, ErrNone) || len(skipped) != 0 {
		t.Errorf("got %v, %v", skipped, err)
	}
}

func TestListIsAscending(t *testing.T) {
	st, _ := newStore(t)
	for _, step := range []uint64{200_000_000, 3, 100, 20} { // the first has nine digits
		publish(t, st, save(t, st, step, newState(5, step), 1))
	}
	all, _, err := List(t.Context(), st, testRun)
	if err != nil {
		t.Fatal(err)
	}
	var steps []uint64
	for _, m := range all {
		steps = append(steps, m.Step)
	}
	if !slices.Equal(steps, []uint64{3, 20, 100, 200_000_000}) {
		t.Errorf("got %v", steps)
	}
	loadNewest(t, st, 200_000_000, 5)
}

func TestWriteRefuses(t *testing.T) {
	st, dir := newStore(t)
	v := make([]float32, 4)
	good := Part{Offset: 2, Total: 6, Weights: v, M: v, V: v, EMA: v}
	uneven, outside, negative := good, good, good
	uneven.EMA = v[:3]
	outside.Offset = 3
	negative.Offset = -1
	write := func(index, count int, p Part) error {
		_, err := WritePart(t.Context(), st, testRun, 1, index, count, p)
		return err
	}
	object := func(run, rel string) error {
		_, err := WriteObject(t.Context(), st, run, 1, rel, "text/plain", nil)
		return err
	}
	for name, err := range map[string]error{
		"uneven": write(0, 1, uneven), "outside": write(0, 1, outside), "negative": write(0, 1, negative),
		"index": write(2, 2, good), "below": write(-1, 2, good),
		"manifest": object(testRun, ManifestKey), "above": object(testRun, "../x"), "empty": object(testRun, ""),
		"absolute": object(testRun, "/x"), "run": object("A run", "x"),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("left %v, %v", entries, err)
	}
}
