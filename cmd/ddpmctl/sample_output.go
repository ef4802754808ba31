package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/sampler/job"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/unet"
	"github.com/ddpm-cluster/ddpm-cluster/internal/picture"
)

// sampleOutput is where drawn images go: a PNG with all of them, or a folder with a job's
// files. It appears whole or not at all.
type sampleOutput struct {
	path   string
	choice job.Choice
}

// toStdout is the path that stands for the grid on standard output, for commands whose
// file system nobody reaches, such as those in a pod.
const toStdout = "-"

func (o *sampleOutput) flags(c *cobra.Command) {
	c.Flags().StringVar(&o.path, "out", "", fmt.Sprintf("the `PATH` of the PNG, of up to %d images, or of the folder to write; it must not exist; - writes a PNG to standard output (needed)", job.MaxGrid))
	c.Flags().BoolVar(&o.choice.Grid, "grid", true, "write grid.png into the folder")
	c.Flags().BoolVar(&o.choice.NPZ, "npz", true, "write samples.npz into the folder: arr_0, uint8, [n, height, width, channels]")
}

// picture says whether one PNG is asked for.
func (o *sampleOutput) picture() bool { return filepath.Ext(o.path) == ".png" || o.path == toStdout }

func (o *sampleOutput) check() error {
	if o.path == "" {
		return errors.New("--out is needed: the PNG or the folder to write")
	}
	if o.path == toStdout {
		return nil
	}
	if ext := filepath.Ext(o.path); ext != "" && !o.picture() {
		return fmt.Errorf("--out %s: give a name that ends in .png, or a folder's without an ending", o.path)
	}
	if _, err := os.Lstat(o.path); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("--out %s: it is there already; remove it or give another name", o.path)
	}
	if info, err := os.Stat(o.parent()); err != nil || !info.IsDir() {
		return fmt.Errorf("--out %s: there is no folder %s", o.path, o.parent())
	}
	return nil
}

// said is where the closing line goes: beside the picture, not into it.
func (o *sampleOutput) said(stdout, stderr io.Writer) io.Writer {
	if o.path == toStdout {
		return stderr
	}
	return stdout
}

func (o *sampleOutput) parent() string { return filepath.Dir(filepath.Clean(o.path)) }

func (o *sampleOutput) write(j job.Job, model unet.Config, images []job.Image, stdout io.Writer) error {
	return o.place(stdout, func(path string) error {
		if o.picture() {
			return o.writePicture(path, model, images)
		}
		return job.Files(j, model, images, o.choice, writer(path))
	})
}

// place has fill make the picture or the folder at a path, and gives it its name
// unless somebody took that meanwhile.
func (o *sampleOutput) place(stdout io.Writer, fill func(path string) error) error {
	parent := o.parent()
	if o.path == toStdout {
		parent = os.TempDir()
	}
	tmp, err := os.MkdirTemp(parent, ".ddpmctl-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", o.path, err)
	}
	defer os.RemoveAll(tmp)
	path := filepath.Join(tmp, "drawn")
	if err = fill(path); err == nil {
		err = o.check()
	}
	switch {
	case err != nil:
	case o.path == toStdout:
		var content []byte
		if content, err = os.ReadFile(path); err != nil {
			break
		}
		// First, for a reader that is gone kills the process.
		if err = os.RemoveAll(tmp); err == nil {
			_, err = stdout.Write(content)
		}
	default:
		err = os.Rename(path, filepath.Clean(o.path))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", o.path, err)
	}
	return nil
}

func (o *sampleOutput) writePicture(path string, model unet.Config, images []job.Image) error {
	pixels := make([][]uint8, len(images))
	for i, im := range images {
		pixels[i] = im.Pixels
	}
	png, err := picture.Grid(pixels, model.Size, model.InChannels)
	if err != nil {
		return err
	}
	return os.WriteFile(path, png, 0o644)
}

// writer writes files into a folder.
func writer(folder string) func(name string, content []byte) error {
	return func(name string, content []byte) error {
		path := filepath.Join(folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		return os.WriteFile(path, content, 0o644)
	}
}
