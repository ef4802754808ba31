package s3test

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"testing"
)

// Program is a server's program, as the Go module proxy has its source.
type Program struct {
	// Name is the program's, and what tests are called by.
	Name string
	// Package is the main package, Version the module's.
	Package, Version string
	// Variable names the environment variable that says where another build of the
	// program is.
	Variable string
}

// MinIO is the server that the project is tested against first.
func MinIO() Program {
	return Program{
		Name: "minio", Package: "github.com/minio/minio", Version: "v0.0.0-20260212201848-7aac2a2c5b7c",
		Variable: "DDPM_TEST_MINIO",
	}
}

// VersityGW is a second one, of other habits, over a folder.
func VersityGW() Program {
	return Program{
		Name: "versitygw", Package: "github.com/versity/versitygw/cmd/versitygw", Version: "v1.8.0",
		Variable: "DDPM_TEST_VERSITYGW",
	}
}

// CachePath is where `make test-deps` puts the program.
func (p Program) CachePath() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("s3test: where is the user's cache: %w", err)
	}
	return filepath.Join(cache, "ddpm-cluster", "test-deps", p.Name+"-"+p.Version, path.Base(p.Package)), nil
}

// find returns the program's path, or skips the test.
func (p Program) find(t testing.TB) string {
	t.Helper()
	if name := os.Getenv(p.Variable); name != "" {
		if _, err := os.Stat(name); err != nil {
			t.Fatalf("s3test: %s: %v", p.Variable, err)
		}
		return name
	}
	name, err := p.CachePath()
	if err == nil {
		_, err = os.Stat(name)
	}
	if err != nil {
		t.Skipf("no %s: `make test-deps` builds it once, or %s says where it is", p.Name, p.Variable)
	}
	return name
}
