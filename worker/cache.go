package worker

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/dustin/go-humanize"
)

// CacheVariable is the environment variable that stands for --cache-size where that
// is not given: a coordinator's --local workers have no flags of their own.
const CacheVariable = "DDPM_CACHE_SIZE"

// The bounds of a cache that there is, in bytes. A smaller one would hold no block of
// a dataset; a larger one is a slip of the finger.
const (
	defaultCacheSize = 10 << 30
	minCacheSize     = 1 << 20
	maxCacheSize     = 1 << 50
)

// cacheSize settles how many bytes this machine keeps of datasets that lie elsewhere, 0
// for none: what the flag says, else the environment, else the default.
func cacheSize(flag string, getenv func(string) string) (int64, error) {
	text, from := flag, "--cache-size"
	if text == "" {
		text, from = getenv(CacheVariable), CacheVariable
	}
	if text == "" {
		return defaultCacheSize, nil
	}
	n, err := humanize.ParseBytes(text)
	if err != nil || n != 0 && (n < minCacheSize || n > maxCacheSize) {
		return 0, fmt.Errorf("%s %q: must be 1MiB to 1PiB, such as 500MB or 20GiB, or 0 for no cache", from, text)
	}
	return int64(n), nil
}

// cacheFolder is where this machine's user keeps what can be had again.
func cacheFolder() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	return filepath.Join(dir, "ddpm-cluster", "datasets")
}
