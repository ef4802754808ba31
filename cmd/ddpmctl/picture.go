package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// writePicture writes a file that is whole or not there.
func writePicture(out string, png []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(out), ".ddpmctl-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", out, err)
	}
	defer os.Remove(tmp.Name())
	if _, err = tmp.Write(png); err == nil {
		err = tmp.Chmod(0o644)
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), out)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", out, err)
	}
	return nil
}
