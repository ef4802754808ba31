package checkpoint

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// Whichever bit of a checkpoint's objects flips, the manifest's own included, the
// checkpoint is named and skipped, and the one before it is used.
func TestEveryFlippedBitIsFound(t *testing.T) {
	flips := 2000
	if testing.Short() {
		flips = 200
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	st, dir := newStore(t)
	publish(t, st, save(t, st, 10, newState(300, 10), 3))
	publish(t, st, save(t, st, 20, newState(300, 20), 3))
	infos, err := st.List(t.Context(), StepPrefix(testRun, 20))
	if err != nil {
		t.Fatal(err)
	}
	var total int64
	for _, info := range infos {
		total += info.Size
	}
	hit := map[string]int{}
	for range flips {
		bit := random.Int64N(8 * total)
		i := 0
		for ; bit >= 8*infos[i].Size; i++ {
			bit -= 8 * infos[i].Size
		}
		// As many in the small objects as in the large ones.
		if random.IntN(2) == 0 {
			i = random.IntN(len(infos))
			bit = random.Int64N(8 * infos[i].Size)
		}
		key := infos[i].Key
		hit[key]++
		flip(t, dir, key, int(bit))
		m, skipped, err := NewestLoadable(t.Context(), st, testRun, func(m Manifest) error { return Verify(t.Context(), st, m) })
		if err != nil || m.Step != 10 || len(skipped) != 1 || skipped[0].Step != 20 {
			t.Fatalf("bit %d of %s: step %d, skipped %v, %v", bit, key, m.Step, skipped, err)
		}
		if rel := strings.TrimPrefix(key, StepPrefix(testRun, 20)); rel != ManifestKey && !strings.Contains(skipped[0].Reason, rel) {
			t.Errorf("bit %d of %s: the reason is %s", bit, key, skipped[0].Reason)
		}
		flip(t, dir, key, int(bit))
	}
	if len(hit) != len(infos) && !testing.Short() {
		t.Errorf("only %d of %d objects were hit", len(hit), len(infos))
	}
	m, skipped, err := NewestLoadable(t.Context(), st, testRun, func(m Manifest) error { return Verify(t.Context(), st, m) })
	if err != nil || m.Step != 20 || len(skipped) != 0 {
		t.Errorf("all well again: step %d, skipped %v, %v", m.Step, skipped, err)
	}
}
