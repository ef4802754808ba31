package ddpmcluster

import (
	"io/fs"
	"maps"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

func hashOf(t *testing.T, files fstest.MapFS, goVersion string) string {
	t.Helper()
	sum, err := fingerprint(files, goVersion)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func TestFingerprintNamesTheSources(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	base := fstest.MapFS{"a/x.go": file("xx"), "b/y.go": file("y"), "go.mod": file("m")}
	want := hashOf(t, base, "go1.26")

	for name, change := range map[string]func(fstest.MapFS){
		"an edit":        func(m fstest.MapFS) { m["a/x.go"] = file("xX") },
		"a new file":     func(m fstest.MapFS) { m["a/z.go"] = file("") },
		"a lost file":    func(m fstest.MapFS) { delete(m, "b/y.go") },
		"a moved file":   func(m fstest.MapFS) { m["b/x.go"] = m["a/x.go"]; delete(m, "a/x.go") },
		"a moved border": func(m fstest.MapFS) { m["a/x.go"], m["b/y.go"] = file("x"), file("xy") },
	} {
		files := maps.Clone(base)
		change(files)
		if hashOf(t, files, "go1.26") == want {
			t.Errorf("%s keeps the fingerprint", name)
		}
	}
	if hashOf(t, base, "go1.27") == want {
		t.Error("another Go keeps the fingerprint")
	}
	files := maps.Clone(base)
	files["a/x_test.go"] = file("a test")
	if hashOf(t, files, "go1.26") != want {
		t.Error("a test changes the fingerprint")
	}
}

func TestFingerprintOfThisBuild(t *testing.T) {
	sum := Fingerprint()
	if !regexp.MustCompile(`^sha256:[0-9a-f]{64}$`).MatchString(sum) {
		t.Errorf("the fingerprint is %q", sum)
	}
	if again := Fingerprint(); again != sum {
		t.Errorf("first %s, then %s", sum, again)
	}
}

// What decides the bits must be in the binary, folder by folder.
func TestSourcesAreComplete(t *testing.T) {
	seen := map[string]bool{}
	err := fs.WalkDir(sources, ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			seen[path[:strings.LastIndex(path, "/")+1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{
		"", "proto/ddpm/v1/", "ddpm/", "ddpm/rng/", "ddpm/kernel/", "ddpm/nn/", "ddpm/unet/",
		"ddpm/diffusion/", "ddpm/sampler/", "ddpm/dataset/", "ddpm/dataset/packed/", "allreduce/", "worker/",
	} {
		if !seen[folder] {
			t.Errorf("no source of %q is in the fingerprint", folder)
		}
	}
}

func TestVersion(t *testing.T) {
	if Version() == "" {
		t.Error("there is no version")
	}
}
