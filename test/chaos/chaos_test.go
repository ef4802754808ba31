package chaos

import "testing"

// A cluster of three lives through a fault every third of a second or so, and has
// the weights of one quiet worker.
func TestShortChaos(t *testing.T) {
	if testing.Short() {
		t.Skip("a chaos of processes takes a minute")
	}
	const steps = 150
	want := quiet(t, steps)
	c := newCluster(t, 3, "--steps", "150", "--checkpoint-every", "30")
	faults := c.chaos(1, 3, limitBetween)
	t.Logf("faults: %v", faults)
	if got := c.finish(limit); got != want {
		t.Errorf("digest %s, one quiet worker has %s", got, want)
	}
}
