package e2e

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/png"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/internal/s3test"
	"github.com/ddpm-cluster/ddpm-cluster/worker"
)

// dataCase is a source to import, and a training on it that takes a moment.
type dataCase struct {
	name, path string
	images     int
	training   []string
}

// dataCases are noise in the forms of MNIST and of a tar of classes, and MNIST and
// CIFAR-10 themselves where DDPM_TEST_DATA names a folder that has mnist/ and
// cifar10-10k.tar.
func dataCases(t *testing.T) []dataCase {
	t.Helper()
	tiny := []string{"--preset", "tiny", "--steps", "10"}
	cases := []dataCase{
		{"idx", noiseIDX(t, 40_000, 8), 40_000, tiny}, // 2.5 MB
		{"folders", noiseTar(t, 300, 8), 300, tiny},
	}
	folder := os.Getenv("DDPM_TEST_DATA")
	if folder == "" {
		t.Log("DDPM_TEST_DATA is not set to a folder with mnist/ and cifar10-10k.tar: noise alone is imported")
		return cases
	}
	short := func(preset string) []string {
		return []string{"--preset", preset, "--steps", "2", "--batch", "4", "--shard-size", "1"}
	}
	return append(cases,
		dataCase{"mnist", filepath.Join(folder, "mnist"), 10_000, short("mnist")},
		dataCase{"cifar10", filepath.Join(folder, "cifar10-10k.tar"), 10_000, short("cifar10")})
}

// noiseIDX writes grey squares of noise as MNIST's images are written, and gives the
// folder.
func noiseIDX(t *testing.T, count, size int) string {
	t.Helper()
	file := binary.BigEndian.AppendUint32(nil, 0x0803)
	for _, n := range []int{count, size, size} {
		file = binary.BigEndian.AppendUint32(file, uint32(n))
	}
	head := len(file)
	file = append(file, make([]byte, count*size*size)...)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(file[head:]) // which never fails
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "train-images-idx3-ubyte"), file, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// noiseTar writes grey squares of noise as PNGs of three classes into an archive.
func noiseTar(t *testing.T, count, size int) string {
	t.Helper()
	var out bytes.Buffer
	archive := tar.NewWriter(&out)
	noise := rand.NewChaCha8([32]byte{2})
	for k := range count {
		square := image.NewGray(image.Rect(0, 0, size, size))
		_, _ = noise.Read(square.Pix) // which never fails
		var content bytes.Buffer
		if err := png.Encode(&content, square); err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("%s/%04d.png", []string{"ash", "birch", "cedar"}[k%3], k)
		if err := archive.WriteHeader(&tar.Header{Name: name, Size: int64(content.Len()), Mode: 0o644, Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := content.WriteTo(archive); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "noise.tar")
	if err := os.WriteFile(name, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

var datasetDigest = regexp.MustCompile(`digest   (sha256:[0-9a-f]{64})`)

// A dataset has the same digest, and training on it the same bits, in a folder and on
// MinIO, also where neither the cache nor what is read ahead holds it.
func TestSameBitsOfDataOnMinIO(t *testing.T) {
	cases := dataCases(t)
	server := s3test.StartMinIO(t)
	for _, v := range cases {
		t.Run(v.name, func(t *testing.T) {
			const limit = 1 << 20
			cache := t.TempDir()
			near, far := t.TempDir(), s3test.URI(server.Address, "data")
			env := append(server.Env(), "XDG_CACHE_HOME="+cache, worker.CacheVariable+"=1MiB")
			digests := map[string]bool{}
			ends := map[string]bool{}
			for _, storage := range []string{near, far} {
				arguments := []string{"data", "import", v.path, v.name, "--storage", storage}
				if v.name == "folders" {
					arguments = append(arguments, "--size", "8", "--channels", "1")
				}
				if v.name == "cifar10" {
					arguments = append(arguments, "--size", "32")
				}
				r := run(t, env, "ddpmctl", arguments...)
				m := datasetDigest.FindStringSubmatch(r.stdout)
				if r.code != 0 || m == nil || !strings.Contains(r.stdout, fmt.Sprintf("images   %d of", v.images)) {
					t.Fatalf("import: exit code %d, %s%s", r.code, r.stdout, r.stderr)
				}
				digests[m[1]] = true
				if r := run(t, env, "ddpmctl", "data", "verify", v.name, "--storage", storage); r.code != 0 {
					t.Errorf("verify: %s%s", r.stdout, r.stderr)
				}
				args := append([]string{"--local", "--data-dir", t.TempDir(), "--workers", "2", "--threads", "1", "--run", v.name}, v.training...)
				_, end := run(t, env, "ddpm-coordinator", append(args, "--storage", storage, "--dataset", v.name)...).lastLine(t)
				ends[end] = true
			}
			if len(digests) != 1 || len(ends) != 1 {
				t.Errorf("digests of the dataset %v, of the trained weights %v", digests, ends)
			}
			if used := sizeOf(t, cache); used == 0 || used > limit {
				t.Errorf("the cache has %d bytes, its limit is %d", used, limit)
			}
		})
	}
}

// sizeOf is how many bytes the files of a folder have.
func sizeOf(t *testing.T, dir string) (size int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return size
}
