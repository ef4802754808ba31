package kernel

import (
	"os"
	"strings"
	"testing"
)

func TestChooseLevel(t *testing.T) {
	for _, c := range []struct {
		forced  string
		best    Level
		want    Level
		message string
	}{
		{"", LevelAVX2, LevelAVX2, ""},
		{"", LevelPortable, LevelPortable, ""},
		{"portable", LevelAVX2, LevelPortable, ""},
		{"portable", LevelPortable, LevelPortable, ""},
		{"avx2", LevelAVX2, LevelAVX2, ""},
		{"avx2", LevelPortable, LevelPortable, "has no avx2"},
		{"AVX2", LevelAVX2, LevelAVX2, `DDPM_CPU_LEVEL="AVX2" is not a known level; set it to one of [portable avx2 avx512]`},
		{"avx512", LevelAVX2, LevelAVX2, "has no avx512; its best level is avx2"},
		{"avx2", LevelAVX512, LevelAVX2, ""},
		{"", LevelAVX512, LevelAVX512, ""},
	} {
		got, err := chooseLevel(c.forced, c.best)
		if got != c.want {
			t.Errorf("%q with %s: level %s, want %s", c.forced, c.best, got, c.want)
		}
		if (err == nil) != (c.message == "") || err != nil && !strings.Contains(err.Error(), c.message) {
			t.Errorf("%q with %s: error %v, want %q", c.forced, c.best, err, c.message)
		}
	}
}

// TestActiveLevel checks that the environment reaches the level.
func TestActiveLevel(t *testing.T) {
	want, wantErr := chooseLevel(os.Getenv(LevelVariable), bestLevel())
	if got := ActiveLevel(); got != want {
		t.Errorf("ActiveLevel is %s, want %s", got, want)
	}
	if err := CheckLevel(); (err == nil) != (wantErr == nil) {
		t.Errorf("CheckLevel is %v, want %v", err, wantErr)
	}
}
