// Command release builds what is published: for every system an archive with the
// commands, their man pages, the licence and the notice, and SHA256SUMS over the archives. Two builds
// of the same sources by the same Go are the same bytes, whenever and wherever they
// are made: paths and version control are kept out of the binaries, and names,
// owners and times of the files are fixed. It is what `make release` runs.
package main

import (
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// module is the import path of the variables that name the release.
const module = "github.com/ddpm-cluster/ddpm-cluster"

// commands are what an archive holds, beside texts.
func commands() []string { return []string{"ddpm-coordinator", "ddpm-worker", "ddpmctl"} }

func texts() []string { return []string{"LICENSE", "NOTICE", "README.md"} }

func main() {
	var r release
	var targets string
	flag.StringVar(&r.version, "version", "", "the version that --version says (needed)")
	flag.StringVar(&r.commit, "commit", "", "the commit of the sources, if there is one")
	flag.StringVar(&r.out, "out", "dist", "the folder for the archives")
	flag.StringVar(&targets, "targets", "linux/amd64 linux/arm64 darwin/amd64 darwin/arm64", "OS/ARCHITECTURE, separated by blanks")
	flag.Parse()
	if err := r.build(strings.Fields(targets)); err != nil {
		fmt.Fprintf(os.Stderr, "release: %v\n", err)
		os.Exit(1)
	}
}

type release struct{ version, commit, out string }

// build makes the archives of all targets and then their sums.
func (r release) build(targets []string) error {
	if r.version == "" || strings.ContainsAny(r.version+r.commit, " /'\"") {
		return fmt.Errorf("version %q and commit %q: give both without blanks, quotes and slashes, the version at least", r.version, r.commit)
	}
	if len(targets) == 0 {
		return errors.New("no targets; give OS/ARCHITECTURE, such as linux/amd64")
	}
	for _, target := range targets {
		if !strings.Contains(target, "/") {
			return fmt.Errorf("%s: must be OS/ARCHITECTURE, such as linux/amd64", target)
		}
	}
	if err := os.MkdirAll(r.out, 0o777); err != nil {
		return err
	}
	pages, err := r.pages()
	if err != nil {
		return err
	}
	var sums strings.Builder
	for _, target := range targets {
		name, err := r.archive(target, pages)
		if err != nil {
			return fmt.Errorf("%s: %w", target, err)
		}
		text, err := os.ReadFile(filepath.Join(r.out, name))
		if err != nil {
			return err
		}
		line := fmt.Sprintf("%x  %s\n", sha256.Sum256(text), name)
		fmt.Print(line)
		sums.WriteString(line)
	}
	return os.WriteFile(filepath.Join(r.out, "SHA256SUMS"), []byte(sums.String()), 0o666)
}

// pages writes the man pages of all commands beside the archives. They are the same for
// every target.
func (r release) pages() ([]file, error) {
	folder := filepath.Join(r.out, "man1")
	if err := os.RemoveAll(folder); err != nil {
		return nil, err
	}
	for _, command := range commands() {
		c := exec.Command("go", "run", "-buildvcs=false", "-ldflags", r.flags(), "./cmd/"+command, "man", folder)
		c.Stdout, c.Stderr = os.Stderr, os.Stderr
		if err := c.Run(); err != nil {
			return nil, fmt.Errorf("the man pages of %s: %w", command, err)
		}
	}
	names, err := os.ReadDir(folder) // sorted
	if err != nil {
		return nil, err
	}
	var pages []file
	for _, n := range names {
		pages = append(pages, file{"man/man1/" + n.Name(), filepath.Join(folder, n.Name()), 0o644})
	}
	return pages, nil
}

// flags are the linker's: they name the release.
func (r release) flags() string {
	return fmt.Sprintf("-s -w -buildid= -X %s.version=%s -X %s.commit=%s", module, r.version, module, r.commit)
}

// archive compiles the commands for a target and packs them with the man pages; it
// returns the archive's name.
func (r release) archive(target string, pages []file) (string, error) {
	goos, goarch, _ := strings.Cut(target, "/")
	// The binaries stay beside the archive: images are made of them.
	folder := filepath.Join(r.out, goos+"_"+goarch)
	if err := os.RemoveAll(folder); err != nil {
		return "", err
	}
	if err := r.compile(folder, goos, goarch); err != nil {
		return "", err
	}
	var files []file
	for _, c := range commands() {
		files = append(files, file{c, filepath.Join(folder, c), 0o755})
	}
	for _, t := range texts() {
		files = append(files, file{t, t, 0o644})
	}
	files = append(files, pages...)
	top := fmt.Sprintf("ddpm-cluster_%s_%s_%s", strings.TrimPrefix(r.version, "v"), goos, goarch)
	return top + ".tar.gz", pack(filepath.Join(r.out, top+".tar.gz"), top, files)
}

func (r release) compile(folder, goos, goarch string) error {
	c := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", r.flags(), "-o", folder+string(filepath.Separator), "./cmd/...")
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOOS="+goos, "GOARCH="+goarch, "GOAMD64=v1", "GOARM64=v8.0", "GOEXPERIMENT=")
	c.Stdout, c.Stderr = os.Stderr, os.Stderr
	if err := c.Run(); err != nil {
		return fmt.Errorf("go build: %w", err)
	}
	return nil
}
