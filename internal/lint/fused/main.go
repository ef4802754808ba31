package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// module is the pattern of the packages that are listed: our own.
const module = "github.com/ddpm-cluster/ddpm-cluster/..."

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: fused PACKAGES, as go build takes them")
		os.Exit(2)
	}
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "fused: %v\n", err)
		os.Exit(1)
	}
}

// run compiles the packages for arm64 and writes to out what it found.
func run(packages []string, out io.Writer) error {
	found, instructions, err := list(packages)
	if err != nil {
		return err
	}
	if instructions == 0 {
		return errors.New("the compiler listed no instruction; is any of the packages our own?")
	}
	for _, f := range found {
		fmt.Fprintf(out, "%s: fused into %s on arm64, which rounds once where amd64 rounds twice; write float32(x*y) + z or float64(x*y) + z\n",
			f.place, f.mnemonic)
	}
	if len(found) > 0 {
		return fmt.Errorf("%d fused multiply-adds in %s", len(found), strings.Join(packages, " "))
	}
	fmt.Fprintf(out, "no fused multiply-add among %d arm64 instructions\n", instructions)
	return nil
}

// list compiles the packages for arm64 and scans the listing on the fly. The build
// cache keeps a listing and shows it again, so an unchanged package costs nothing.
func list(packages []string) ([]finding, int, error) {
	build := arm64("build", "-gcflags="+module+"=-S")
	build.Args = append(build.Args, packages...)
	listing, err := build.StderrPipe()
	if err != nil {
		return nil, 0, fmt.Errorf("list the instructions: %w", err)
	}
	if err := build.Start(); err != nil {
		return nil, 0, fmt.Errorf("list the instructions: %w", err)
	}
	found, instructions, err := scan(listing)
	if err != nil {
		err = errors.Join(err, build.Process.Kill())
	}
	if err := errors.Join(err, build.Wait()); err != nil {
		return nil, 0, fmt.Errorf("list the instructions: %w\n%s", err, explain(packages))
	}
	return found, instructions, nil
}

// explain builds again without a listing, for the compiler's own words of what is
// wrong.
func explain(packages []string) string {
	build := arm64("build")
	build.Args = append(build.Args, packages...)
	said, err := build.CombinedOutput()
	if err == nil {
		return "without a listing the packages do compile"
	}
	return strings.TrimSpace(string(said))
}

// arm64 is a go command for linux on arm64.
func arm64(args ...string) *exec.Cmd {
	c := exec.Command("go", args...)
	c.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
	return c
}
