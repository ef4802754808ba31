package raw

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/decode"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/resize"
)

// files is a Store in memory that is only read.
type files map[string][]byte

func (f files) get(key string) ([]byte, error) {
	content, ok := f[key]
	if !ok {
		return nil, fmt.Errorf("%s: %w", key, fs.ErrNotExist)
	}
	return content, nil
}

func (f files) Read(_ context.Context, key string, limit int64) ([]byte, error) {
	content, err := f.get(key)
	if int64(len(content)) > limit {
		err = fmt.Errorf("%s is too long", key)
	}
	return content, err
}

func (f files) ReadRange(_ context.Context, key string, offset int64, p []byte) error {
	content, err := f.get(key)
	if err != nil {
		return err
	}
	_, err = bytes.NewReader(content).ReadAt(p, offset)
	return err
}

func (f files) Stream(_ context.Context, key string) (io.ReadCloser, int64, error) {
	content, err := f.get(key)
	return io.NopCloser(bytes.NewReader(content)), int64(len(content)), err
}

func (files) Write(context.Context, string, []byte, string) error  { return fs.ErrPermission }
func (files) Create(context.Context, string, []byte, string) error { return fs.ErrPermission }
func (files) Remove(context.Context, string) error                 { return fs.ErrPermission }
func (files) String() string                                       { return "memory" }

func (f files) Walk(_ context.Context, prefix string, visit func(key string, size, written int64) error) error {
	for _, key := range slices.Sorted(maps.Keys(f)) {
		if !strings.HasPrefix(key, prefix) {
			continue
		}
		if err := visit(key, int64(len(f[key])), 1); err != nil {
			return err
		}
	}
	return nil
}

func (f files) WalkLinks(ctx context.Context, prefix string, visit func(key string, size, written int64) error) error {
	return f.Walk(ctx, prefix, visit)
}

// testdata reads a file of testdata, as make.py writes it.
func testdata(t testing.TB, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// seen is what a test looks at of an item.
type seen struct {
	label int
	class string
	shape string
	first []byte // pixel
}

func (s seen) String() string { return fmt.Sprintf("%d %q %s %v", s.label, s.class, s.shape, s.first) }

// look reads a whole source.
func look(ctx context.Context, s *Source) ([]seen, error) {
	var list []seen
	err := s.Each(ctx, func(i Item) error {
		img := i.Image
		if i.Load != nil {
			content, err := i.Load(ctx)
			if err == nil {
				img, err = decode.Decode(content, 3)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", i.Name, err)
			}
		}
		list = append(list, describe(i, img))
		return nil
	})
	return list, err
}

func describe(i Item, img resize.Image) seen {
	return seen{i.Label, i.Class, fmt.Sprintf("%dx%dx%d", img.Height, img.Width, img.Channels), slices.Clone(img.Pixels[:img.Channels])}
}
