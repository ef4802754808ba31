package checkpoint

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/storage"
)

func manifestText(t *testing.T, st storage.Store, step uint64) string {
	t.Helper()
	data, err := readAll(t.Context(), st, StepPrefix(testRun, step)+ManifestKey, maxManifest)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestPublishTwice(t *testing.T) {
	st, _ := newStore(t)
	first := save(t, st, 10, newState(9, 10), 3)
	publish(t, st, first)
	text := manifestText(t, st, 10)
	publish(t, st, first)
	if got := manifestText(t, st, 10); got != text {
		t.Errorf("the same manifest became %s", got)
	}

	// Another state is refused, and nothing changes.
	other := first
	other.Digest = digest(newState(9, 11))
	if err := Publish(t.Context(), st, other); err == nil || !strings.Contains(err.Error(), other.Digest) || !strings.Contains(err.Error(), "--run") {
		t.Errorf("another state: %v", err)
	}
	if got := manifestText(t, st, 10); got != text {
		t.Errorf("another state changed it to %s", got)
	}

	// The same state in other parts is as good, and its objects are newer.
	publish(t, st, save(t, st, 10, newState(9, 10), 2))
	if m, err := At(t.Context(), st, testRun, 10); err != nil || m.Parts != 2 {
		t.Errorf("got %d parts, %v", m.Parts, err)
	}
}

func TestPublishReplacesWhatIsNoManifest(t *testing.T) {
	st, dir := newStore(t)
	m := save(t, st, 10, newState(9, 10), 3)
	publish(t, st, m)
	if err := os.WriteFile(filepath.Join(dir, StepPrefix(testRun, 10), ManifestKey), []byte(`{"format":`), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := At(t.Context(), st, testRun, 10); !errors.Is(err, ErrCorrupt) {
		t.Fatal(err)
	}
	publish(t, st, m)
	loadNewest(t, st, 10, 9)
}

// A worker's object that lies elsewhere makes no checkpoint.
func TestPublishWithoutAnObject(t *testing.T) {
	for what, change := range map[string]func(path string) error{
		"is missing":       os.Remove,
		"has 3 bytes, not": func(path string) error { return os.WriteFile(path, []byte("abc"), 0o666) },
	} {
		st, dir := newStore(t)
		m := save(t, st, 10, newState(9, 10), 3)
		if err := change(filepath.Join(dir, StepPrefix(testRun, 10), PartKey(1, 3))); err != nil {
			t.Fatal(err)
		}
		err := Publish(t.Context(), st, m)
		if err == nil || !strings.Contains(err.Error(), PartKey(1, 3)+" "+what) || !strings.Contains(err.Error(), "s3://") {
			t.Errorf("got %v, want %s", err, what)
		}
		if _, err := At(t.Context(), st, testRun, 10); !errors.Is(err, ErrCorrupt) {
			t.Errorf("published nevertheless: %v", err)
		}
	}
}

func TestFits(t *testing.T) {
	st, _ := newStore(t)
	m := save(t, st, 10, newState(9, 10), 1)
	if err := m.Fits(9); err != nil {
		t.Error(err)
	}
	if err := m.Fits(10); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "9 parameters") {
		t.Errorf("another model: %v", err)
	}
}

// Two coordinators that both believe in themselves publish one step.
func TestPublishRace(t *testing.T) {
	for _, same := range []bool{true, false} {
		st, _ := newStore(t)
		manifests := []Manifest{save(t, st, 10, newState(9, 10), 1), save(t, st, 10, newState(9, 10), 2)}
		if !same {
			manifests[1].Digest = digest(newState(9, 11))
		}
		var (
			wg   sync.WaitGroup
			errs [8]error
		)
		for i := range errs {
			wg.Go(func() { errs[i] = Publish(t.Context(), st, manifests[i%2]) })
		}
		wg.Wait()
		m, err := At(t.Context(), st, testRun, 10)
		if err != nil {
			t.Fatal(err)
		}
		for i, err := range errs {
			if lost := manifests[i%2].Digest != m.Digest; lost != (err != nil) {
				t.Errorf("same state %v: publisher %d got %v", same, i, err)
			}
		}
		if same {
			loadNewest(t, st, 10, 9)
		}
	}
}

func TestManifestRefuses(t *testing.T) {
	st, _ := newStore(t)
	good := save(t, st, 10, newState(9, 10), 2)
	for want, change := range map[string]func(m *Manifest){
		"bad run name":        func(m *Manifest) { m.Run = "../x" },
		"digest":              func(m *Manifest) { m.Digest = strings.Repeat("0", 64) },
		"0 parameters":        func(m *Manifest) { m.Params = 0 },
		"0 parts":             func(m *Manifest) { m.Parts = 0 },
		"1000000000000 parts": func(m *Manifest) { m.Parts = 1_000_000_000_000 },
		"lacks":               func(m *Manifest) { m.Parts = 3 },
		"bad object key":      func(m *Manifest) { m.Objects[0].Key = "../x" },
		"manifest.json":       func(m *Manifest) { m.Objects[0].Key = ManifestKey },
		"there twice":         func(m *Manifest) { m.Objects = append(m.Objects, m.Objects[0]) },
		"size -1":             func(m *Manifest) { m.Objects[0].Size = -1 },
		`SHA-256 "ABC"`:       func(m *Manifest) { m.Objects[0].SHA256 = "ABC" },
	} {
		m := good
		m.Objects = append([]Object{}, good.Objects...)
		change(&m)
		if err := Publish(t.Context(), st, m); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, err := At(t.Context(), st, testRun, 10); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a refused manifest was written: %v", err)
	}
}

// A manifest that lies in another's folder, by a copy, is not taken.
func TestManifestOfAnotherFolder(t *testing.T) {
	st, dir := newStore(t)
	publish(t, st, save(t, st, 10, newState(9, 10), 1))
	steps := filepath.Join(dir, CheckpointsPrefix(testRun))
	if err := os.CopyFS(filepath.Join(steps, "step-00000011"), os.DirFS(filepath.Join(steps, "step-00000010"))); err != nil {
		t.Fatal(err)
	}
	m, skipped, err := Newest(t.Context(), st, testRun)
	if err != nil || m.Step != 10 || len(skipped) != 1 || !strings.Contains(skipped[0].Reason, "step 10 of run digits") {
		t.Errorf("got step %d, %v, %v", m.Step, skipped, err)
	}
}

func FuzzDecodeManifest(f *testing.F) {
	hash := strings.Repeat("0123456789abcdef", 4)
	f.Add([]byte(`{"format":1,"run":"digits","step":10,"digest":"sha256:` + hash + `","params":9,"parts":1,"objects":[` +
		`{"key":"state/part-00000-of-00001.safetensors","size":10,"sha256":"` + hash + `"}]}`))
	f.Add([]byte(`{"format":1,"parts":1000000000000}`))
	f.Add([]byte(`{} {}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := decodeManifest(data)
		if err != nil {
			return
		}
		if m.Format != Format || m.Params < 1 || m.Parts < 1 || ValidRunName(m.Run) != nil {
			t.Errorf("accepted %+v", m)
		}
		for i := range m.Parts {
			if o, ok := m.Object(PartKey(i, m.Parts)); !ok || o.Size < 0 {
				t.Errorf("accepted without part %d: %+v", i, m)
			}
		}
		for _, o := range m.Objects {
			if strings.Contains("/"+o.Key+"/", "/../") || strings.HasPrefix(o.Key, "/") {
				t.Errorf("accepted the key %q", o.Key)
			}
		}
		text, err := m.encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseManifest(text)
		m.SHA256 = again.SHA256
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Errorf("%+v became %+v, %v", m, again, err)
		}
	})
}
