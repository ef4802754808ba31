package ddpmcluster

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"runtime"
	"strings"
)

// sources decide the bits of a run: the mathematics, the sum between workers, the
// order in which a worker applies them, and the modules that they stand on. The
// protocol is among them so that both ends of a stream read it alike.
//
//go:embed go.mod go.sum proto/ddpm/v1/*.proto
//go:embed ddpm/*.go ddpm/*/*.go ddpm/*/*.s ddpm/dataset/*/*.go
//go:embed allreduce/*.go allreduce/*.s worker/*.go
var sources embed.FS

// Fingerprint names what decides the bits of a run: "sha256:" and the SHA-256, in
// hex, over the sources and the version of Go. Workers of one run must agree on
// it. Architecture and CPU are not part of it, because the weights don't depend on
// them.
func Fingerprint() string {
	sum, err := fingerprint(sources, runtime.Version())
	if err != nil {
		panic(fmt.Sprintf("ddpmcluster: read the sources in the binary: %v", err))
	}
	return sum
}

// fingerprint hashes the Go version and every file but tests, each with its path
// and its length, in the order of fs.WalkDir.
func fingerprint(files fs.FS, goVersion string) (string, error) {
	h := sha256.New()
	h.Write(fmt.Appendf(nil, "go %q\n", goVersion))
	err := fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, "_test.go") {
			return err
		}
		content, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		h.Write(fmt.Appendf(nil, "file %q %d\n", path, len(content)))
		h.Write(content)
		return nil
	})
	if err != nil {
		return "", err
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}
