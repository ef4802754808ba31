package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// ctl runs a command line.
func ctl(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(t.Context(), args, &out, &err)
	return code, out.String(), err.String()
}

const someArrays = "../../ddpm/dataset/raw/testdata/stored.npz"

func TestDataFromImportToVerify(t *testing.T) {
	dir := t.TempDir()
	in := "--storage=" + filepath.Join(dir, "store")
	code, out, errs := ctl(t, "data", "import", someArrays, "small", "--size=16", in)
	if code != 0 || !strings.Contains(out, "images   5 of 16x16x3") || !strings.Contains(out, "digest   sha256:") {
		t.Fatalf("import: %d\n%s%s", code, out, errs)
	}
	code, out, errs = ctl(t, "data", "list", "--json", in)
	var list []described
	if err := json.Unmarshal([]byte(out), &list); code != 0 || err != nil || len(list) != 1 || list[0].Name != "small" || list[0].Count != 5 {
		t.Errorf("list: %d, %v\n%s%s", code, err, out, errs)
	}
	if code, out, _ = ctl(t, "data", "list", in); code != 0 || !strings.Contains(out, "small  5       16x16x3") {
		t.Errorf("list: %d\n%s", code, out)
	}
	picture := filepath.Join(dir, "x.png")
	var d described
	code, out, errs = ctl(t, "data", "show", "small", "--json", "--out="+picture, "--n=4", in)
	if err := json.Unmarshal([]byte(out), &d); code != 0 || err != nil || d.Digest != list[0].Digest {
		t.Errorf("show: %d, %v\n%s%s", code, err, out, errs)
	}
	content, err := os.ReadFile(picture)
	if err != nil {
		t.Fatal(err)
	}
	if img, err := png.Decode(bytes.NewReader(content)); err != nil || img.Bounds().Dx() != 2+2*98 {
		t.Errorf("a picture of %v, %v", img.Bounds(), err)
	}
	// The same dataset by its own place.
	for _, which := range []string{"small", "store://small", filepath.Join(dir, "store", "datasets", "small")} {
		if code, out, errs = ctl(t, "data", "verify", which, in); code != 0 || !strings.Contains(out, "5 images of 16x16x3 are whole") {
			t.Errorf("verify %s: %d\n%s%s", which, code, out, errs)
		}
	}
	object := filepath.Join(dir, "store/datasets/small/images-00000.bin")
	if content, err = os.ReadFile(object); err != nil {
		t.Fatal(err)
	}
	content[100] ^= 4
	if err := os.WriteFile(object, content, 0o666); err != nil {
		t.Fatal(err)
	}
	if code, _, errs = ctl(t, "data", "verify", "small", in); code != exitFailure || !strings.Contains(errs, "images-00000.bin is damaged") {
		t.Errorf("verify of a damaged dataset: %d\n%s", code, errs)
	}
}

// An import looks at the Store first: whether only one writer may create there, and
// what a crash has left.
func TestImportProbesTheStore(t *testing.T) {
	dir := t.TempDir()
	left := filepath.Join(dir, "datasets/y/.ddpm-tmp-left")
	if err := os.MkdirAll(filepath.Dir(left), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(left, []byte("half an object"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(left, time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := ctl(t, "data", "import", someArrays, "x", "--size=16", "--storage="+dir); code != 0 {
		t.Fatalf("import: %d\n%s%s", code, out, errs)
	}
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what a crash left is there: %v", err)
	}
}

func TestDataSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	in := "--storage=" + filepath.Join(dir, "store")
	folder := filepath.Join(dir, "photos")
	if err := os.MkdirAll(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "a.jpg"), []byte("no picture"), 0o666); err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]struct {
		args []string
		code int
		want string
	}{
		"one argument":      {[]string{"import", someArrays}, exitUsage, "two arguments"},
		"no size":           {[]string{"import", folder, "x"}, exitUsage, "--size is needed"},
		"a rule":            {[]string{"import", folder, "x", "--size=8", "--resize=sharp"}, exitUsage, "box-bicubic"},
		"channels":          {[]string{"import", folder, "x", "--size=8", "--channels=2"}, exitUsage, "channels 2"},
		"a broken image":    {[]string{"import", folder, "x", "--size=8"}, exitFailure, "a.jpg"},
		"nothing there":     {[]string{"import", filepath.Join(dir, "none"), "x"}, exitFailure, "nothing"},
		"no dataset":        {[]string{"show", "x"}, exitFailure, "ddpmctl data list"},
		"no dataset either": {[]string{"verify", "x"}, exitFailure, "ddpmctl data list"},
		"no name":           {[]string{"show", "store://a b"}, exitUsage, "no name"},
		"a picture's name":  {[]string{"show", "x", "--out=x.jpg"}, exitUsage, ".png"},
		"a word too many":   {[]string{"list", "x"}, exitUsage, "unexpected"},
		"no command":        {[]string{"improt"}, exitUsage, "did you mean import?"},
	} {
		args := append([]string{"data"}, v.args...)
		if name != "no command" {
			args = append(args, in)
		}
		code, out, errs := ctl(t, args...)
		if code != v.code || !strings.Contains(errs, v.want) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%s: %d\n%s%s\nwant %d and %q", name, code, out, errs, v.code, v.want)
		}
	}
}
