package worker

import (
	"strings"
	"testing"
)

func TestCacheSize(t *testing.T) {
	for _, v := range []struct {
		flag, env string
		want      int64
		fault     string // what the error says
	}{
		{"", "", 10 << 30, ""},
		{"0", "1GiB", 0, ""},
		{"", "0", 0, ""},
		{"1MiB", "", 1 << 20, ""},
		{"500MB", "2GiB", 500_000_000, ""},
		{"", "20Gi", 20 << 30, ""}, // as Kubernetes writes it
		{"1.5 GiB", "", 3 << 29, ""},
		{"1PiB", "", 1 << 50, ""},
		{"1MB", "", 0, "--cache-size \"1MB\": must be 1MiB"},
		{"2PiB", "", 0, "must be"},
		{"-1", "", 0, "must be"},
		{"99999999EiB", "", 0, "must be"},
		{"NaN", "", 0, "must be"},
		{"much", "", 0, "--cache-size \"much\""},
		{"", "much", 0, "DDPM_CACHE_SIZE \"much\""},
	} {
		got, err := cacheSize(v.flag, func(name string) string {
			if name != CacheVariable {
				t.Errorf("asked for %s", name)
			}
			return v.env
		})
		if v.fault == "" && (err != nil || got != v.want) {
			t.Errorf("--cache-size %q, %q in the environment: %d, %v; want %d", v.flag, v.env, got, err, v.want)
		}
		if v.fault != "" && (err == nil || !strings.Contains(err.Error(), v.fault)) {
			t.Errorf("--cache-size %q, %q in the environment: %d, %v; want %q", v.flag, v.env, got, err, v.fault)
		}
	}
}
