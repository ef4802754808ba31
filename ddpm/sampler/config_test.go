package sampler

import "testing"

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
