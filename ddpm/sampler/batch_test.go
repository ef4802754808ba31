package sampler

import (
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
)

func TestBatchForTheMachine(t *testing.T) {
	for _, c := range []struct {
		preset  string
		memory  int64
		threads int
		want    int
	}{
		{"digits", 0, 4, 16},        // not known: by the image alone
		{"digits", 16 << 30, 2, 16}, // by threads
		{"digits", 16 << 30, 64, 64},
		{"digits", 16 << 30, 3, 24},
		{"digits", 1, 4, 1}, // one image at least
		{"celebahq256", 16 << 30, 64, 10},
	} {
		p, err := ddpm.FindPreset(c.preset)
		if err != nil {
			t.Fatal(err)
		}
		got := BatchFor(p.Spec.Model, c.memory, c.threads)
		if c.preset == "celebahq256" {
			if got < 2 || got > 32 {
				t.Errorf("%+v: %d at once, which 4 GiB don't hold or don't need", c, got)
			}
		} else if got != c.want {
			t.Errorf("%+v: %d at once", c, got)
		}
	}
}
