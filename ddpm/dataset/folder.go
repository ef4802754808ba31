package dataset

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// idxImageNames lists the images files that are looked for in a folder, the
// training set first, unpacked before packed.
func idxImageNames() []string {
	var names []string
	for _, set := range []string{"train", "t10k"} {
		for _, dot := range []string{"-", "."} {
			names = append(names, set+"-images"+dot+"idx3-ubyte", set+"-images"+dot+"idx3-ubyte.gz")
		}
	}
	return names
}

// cifarTrainNames lists CIFAR-10's five training batches.
func cifarTrainNames() []string {
	names := make([]string, 5)
	for k := range names {
		names[k] = fmt.Sprintf("data_batch_%d.bin", k+1)
	}
	return names
}

const (
	cifarTestName = "test_batch.bin"
	// cifarFolder is what CIFAR-10's archive unpacks to.
	cifarFolder = "cifar-10-batches-bin"
)

// findCIFAR finds the batches in dir, or else in its cifarFolder, and returns the
// folder that has them; no batches if neither has.
func findCIFAR(dir string) (string, []string, error) {
	for _, d := range []string{dir, filepath.Join(dir, cifarFolder)} {
		if batches, err := cifarBatches(d); err != nil || batches != nil {
			return d, batches, err
		}
	}
	return "", nil, nil
}

// cifarBatches lists the training batches of a folder, or else its test batch; nil
// if it has neither. Some training batches without the others are an error.
func cifarBatches(dir string) ([]string, error) {
	var batches []string
	missing := ""
	for _, name := range cifarTrainNames() {
		path, err := firstPresent(dir, []string{name})
		if err != nil {
			return nil, err
		}
		if path == "" {
			missing = name
			continue
		}
		batches = append(batches, path)
	}
	if batches != nil && missing != "" {
		return nil, fmt.Errorf("dataset %s: %s is there, but %s is not; add it, or name a single .bin file",
			dir, filepath.Base(batches[0]), missing)
	}
	if batches != nil {
		return batches, nil
	}
	test, err := firstPresent(dir, []string{cifarTestName})
	if err != nil || test == "" {
		return nil, err
	}
	return []string{test}, nil
}

// firstPresent returns the first of the names that dir has a file of, as a path;
// "" if none.
func firstPresent(dir string, names []string) (string, error) {
	for _, name := range names {
		path := filepath.Join(dir, name)
		switch info, err := os.Stat(path); {
		case err == nil && !info.IsDir():
			return path, nil
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return "", pathError(path, err)
		}
	}
	return "", nil
}
