package cpulevel

import (
	"os"
	"strings"
	"testing"
)

func TestChoose(t *testing.T) {
	for _, c := range []struct {
		forced  string
		best    Level
		want    Level
		message string
	}{
		{"", AVX2, AVX2, ""},
		{"", Portable, Portable, ""},
		{"portable", AVX2, Portable, ""},
		{"portable", Portable, Portable, ""},
		{"avx2", AVX2, AVX2, ""},
		{"avx2", Portable, Portable, "has no avx2"},
		{"AVX2", AVX2, AVX2, `DDPM_CPU_LEVEL="AVX2" is not a known level; set it to one of [portable avx2 avx512]`},
		{"avx512", AVX2, AVX2, "has no avx512; its best level is avx2"},
		{"avx2", AVX512, AVX2, ""},
		{"", AVX512, AVX512, ""},
	} {
		got, err := choose(c.forced, c.best)
		if got != c.want {
			t.Errorf("%q with %s: level %s, want %s", c.forced, c.best, got, c.want)
		}
		if (err == nil) != (c.message == "") || err != nil && !strings.Contains(err.Error(), c.message) {
			t.Errorf("%q with %s: error %v, want %q", c.forced, c.best, err, c.message)
		}
	}
}

// TestActive checks that the environment reaches the level.
func TestActive(t *testing.T) {
	want, wantErr := choose(os.Getenv(Variable), best())
	if got := Active(); got != want {
		t.Errorf("Active is %s, want %s", got, want)
	}
	if err := Check(); (err == nil) != (wantErr == nil) {
		t.Errorf("Check is %v, want %v", err, wantErr)
	}
}

func TestAvailable(t *testing.T) {
	all := Available()
	if all[0] != Portable || all[len(all)-1] != best() {
		t.Errorf("available are %v, with %s the best", all, best())
	}
}
