package main

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path"
	"time"
)

// file is one of an archive: its name there, where it is, and its mode.
type file struct {
	name, from string
	mode       int64
}

// pack writes files into a folder of a tar.gz, in their order. Nothing of the
// archive depends on when, where or by whom it is made.
func pack(to, folder string, files []file) (err error) {
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	z, err := gzip.NewWriterLevel(f, gzip.BestCompression)
	if err != nil {
		return err
	}
	t := tar.NewWriter(z)
	for _, one := range files {
		if err := add(t, folder, one); err != nil {
			return err
		}
	}
	return errors.Join(t.Close(), z.Close())
}

func add(t *tar.Writer, folder string, one file) error {
	f, err := os.Open(one.from)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	h := &tar.Header{
		Typeflag: tar.TypeReg, Name: path.Join(folder, one.name), Size: info.Size(), Mode: one.mode,
		ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR,
	}
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.Copy(t, f)
	return err
}
