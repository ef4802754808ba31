package machine

import "testing"

func TestParseMeminfo(t *testing.T) {
	text := "MemTotal:       24672064 kB\nMemFree:          120 kB\nMemAvailable:    2048 kB\n"
	if got := parseMeminfo(text); got != 2<<20 {
		t.Errorf("got %d bytes, want 2 MiB", got)
	}
	for _, text := range []string{"", "MemAvailable:", "MemAvailable: many kB"} {
		if got := parseMeminfo(text); got != 0 {
			t.Errorf("%q: got %d bytes, want 0, not known", text, got)
		}
	}
}
