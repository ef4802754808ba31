// Command install builds the S3 servers that tests run against into the user's
// cache, once. It is what `make test-deps` runs.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/internal/s3test"
)

func main() {
	for _, p := range []s3test.Program{s3test.MinIO(), s3test.VersityGW()} {
		if err := install(p); err != nil {
			fmt.Fprintf(os.Stderr, "install %s: %v\n", p.Name, err)
			os.Exit(1)
		}
	}
}

// install builds a program beside its place, so that a build that is cut off
// leaves none there.
func install(p s3test.Program) (err error) {
	name, err := p.CachePath()
	if err != nil {
		return err
	}
	if _, err := os.Stat(name); err == nil {
		fmt.Printf("%s %s is there: %s\n", p.Name, p.Version, name)
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(filepath.Dir(name), "build-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	fmt.Printf("building %s %s, once; minutes\n", p.Name, p.Version)
	began := time.Now()
	cmd := exec.Command("go", "install", p.Package+"@"+p.Version)
	// Where the caller builds for is not where the server runs.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOBIN="+temp, "GOOS=", "GOARCH=", "GOFLAGS=")
	cmd.Dir = temp // outside every module
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go install %s@%s: %w", p.Package, p.Version, err)
	}
	if err := os.Rename(filepath.Join(temp, filepath.Base(name)), name); err != nil {
		return err
	}
	fmt.Printf("built in %.0f s: %s\n", time.Since(began).Seconds(), name)
	return nil
}
