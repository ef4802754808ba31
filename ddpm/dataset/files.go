package dataset

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/packed"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/raw"
)

// openFiles opens a file or a folder.
func openFiles(ctx context.Context, path string, want Want) (Dataset, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("dataset %s: %w", path, err)
	}
	info, err := os.Stat(abs)
	if err != nil {
		return nil, pathError(abs, err)
	}
	switch lower := strings.ToLower(abs); {
	case info.IsDir():
		return openFolder(ctx, abs, want)
	case strings.HasSuffix(lower, ".tar"), strings.HasSuffix(lower, ".tar.gz"), strings.HasSuffix(lower, ".tgz"), strings.HasSuffix(lower, ".zip"):
		return nil, fmt.Errorf("dataset %s: an archive is not read here; unpack it and give the folder, or bring it in by ddpmctl data import", abs)
	case strings.HasSuffix(lower, ".bin"):
		return openCIFAR(ctx, abs, []string{abs}, want)
	}
	return openIDX(ctx, abs, want)
}

// readDirectly says whether a path is of files that are read into memory, or else of
// what only a Store can read.
func readDirectly(path string) (bool, error) {
	info, err := os.Stat(path)
	if err != nil {
		return false, pathError(path, err)
	}
	if !info.IsDir() {
		switch strings.ToLower(filepath.Ext(path)) {
		case ".tar", ".tgz", ".npz", ".parquet", ".mdb":
			return false, nil
		}
		return !strings.HasSuffix(strings.ToLower(path), ".tar.gz"), nil
	}
	if _, err := os.Stat(filepath.Join(path, packed.ManifestKey)); err == nil {
		return false, nil
	}
	images, err := firstPresent(path, idxImageNames())
	if err != nil || images != "" {
		return true, err
	}
	_, batches, err := findCIFAR(path)
	return batches != nil, err
}

// openFolder opens what a folder holds.
func openFolder(ctx context.Context, dir string, want Want) (Dataset, error) {
	images, err := firstPresent(dir, idxImageNames())
	if err != nil {
		return nil, err
	}
	cifarDir, batches, err := findCIFAR(dir)
	switch {
	case err != nil:
		return nil, err
	case images != "" && batches != nil:
		return nil, fmt.Errorf("dataset %s: it holds both IDX images (%s) and CIFAR-10 batches (%s); name one of the two",
			dir, images, batches[0])
	case images != "":
		return openIDX(ctx, images, want)
	case batches != nil:
		return openCIFAR(ctx, cifarDir, batches, want)
	}
	return nil, fmt.Errorf("dataset %s: the folder holds neither %s(.gz) nor %s, nor a t10k or test set; %s",
		dir, idxImageNames()[0], cifarTrainNames()[0], usage)
}

func openIDX(ctx context.Context, images string, want Want) (Dataset, error) {
	s, err := openInput(ctx, images)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	shape, pixels, err := raw.ReadImages(s, func(have Shape) error { return want.check(images, have) })
	if err != nil {
		return nil, err
	}
	labels, err := openLabels(ctx, images, len(pixels)/shape.Bytes())
	if err != nil {
		return nil, err
	}
	return newMemory(images, shape, pixels, labels), nil
}

// openLabels reads the labels that belong to a file of n images; nil if there are
// none.
func openLabels(ctx context.Context, images string, n int) ([]uint8, error) {
	path, err := labelsOf(images)
	if err != nil || path == "" {
		return nil, err
	}
	s, err := openInput(ctx, path)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	labels, err := raw.ReadLabels(s)
	if err != nil {
		return nil, err
	}
	if err := raw.PairLabels(s, len(labels), images, n); err != nil {
		return nil, err
	}
	return labels, nil
}

// labelsOf finds the labels file beside an images file, packed or not; "" if
// there is none.
func labelsOf(images string) (string, error) {
	name := strings.TrimSuffix(filepath.Base(images), ".gz")
	labels := strings.NewReplacer("images", "labels", "idx3", "idx1").Replace(name)
	if labels == name {
		return "", nil
	}
	return firstPresent(filepath.Dir(images), []string{labels, labels + ".gz"})
}

func openCIFAR(ctx context.Context, uri string, files []string, want Want) (Dataset, error) {
	if err := want.check(uri, raw.CIFARShape()); err != nil {
		return nil, err
	}
	var pixels, labels []uint8
	for _, file := range files {
		var err error
		if pixels, labels, err = appendCIFAR(ctx, file, pixels, labels); err != nil {
			return nil, err
		}
	}
	return newMemory(uri, raw.CIFARShape(), pixels, labels), nil
}

func appendCIFAR(ctx context.Context, file string, pixels, labels []uint8) ([]uint8, []uint8, error) {
	s, err := openInput(ctx, file)
	if err != nil {
		return nil, nil, err
	}
	defer s.Close()
	return raw.ReadCIFAR(s, pixels, labels)
}

// FormatError says where a file is not what its format says.
type FormatError = raw.FormatError

// openInput opens a file.
func openInput(ctx context.Context, path string) (*raw.Input, error) {
	s, err := raw.OpenFile(ctx, path)
	if err != nil && !errors.As(err, new(*FormatError)) {
		err = pathError(path, err)
	}
	return s, err
}

// pathError says what is wrong with a path, in one line: the operating system's
// reason without its wrapping.
func pathError(path string, err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return fmt.Errorf("dataset %s: %w; %s", path, err, usage)
}
