package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

func exportCommand(stdout, stderr io.Writer) *cobra.Command {
	var t target
	var folder string
	var whole bool
	out := output{stdout: stdout}
	c := &cobra.Command{
		Use:   "export",
		Short: "Copy a checkpoint to a folder that diffusers opens",
		Long: "Export copies a checkpoint's averaged weights, descriptions and picture to a new folder, checking\n" +
			"every hash. Hugging Face diffusers opens it by DDPMPipeline.from_pretrained(FOLDER). No\n" +
			"pipeline passes classes on; a network with classes is called by itself, as docs/storage.md shows.",
		Example: "  ddpmctl checkpoints export --storage 's3://ddpm?endpoint=minio:9000' --run digits --out digits-500 --step 500",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if folder == "" {
				return usageError{errors.New("--out is needed: the folder to write")}
			}
			if _, err := os.Lstat(folder); err == nil {
				return fmt.Errorf("--out %s: it is there already; name a new folder", folder)
			}
			var keys []string
			f, err := t.find(c.Context(), c, func(f found) (err error) {
				keys, err = export(c.Context(), f, folder, whole, stderr)
				return err
			})
			if err != nil {
				return err
			}
			exported := struct {
				Run    string   `json:"run"`
				Step   uint64   `json:"step"`
				Folder string   `json:"folder"`
				Files  []string `json:"files"`
			}{t.run, f.manifest.Step, folder, keys}
			return out.print(exported, func() {
				fmt.Fprintf(stdout, "%s: step %d of run %s, %d files; in Python: %s\n", folder, f.manifest.Step, t.run, len(keys), inPython(f.spec, folder))
			})
		},
	}
	t.flags(c)
	c.Flags().StringVar(&folder, "out", "", "the folder to write, which must not be there (needed)")
	c.Flags().BoolVar(&whole, "state", false, "also copy the training state, which diffusers does not read")
	out.flags(c)
	return c
}

// inPython is how diffusers opens the folder of a checkpoint. Its DDPMPipeline loads a
// network with classes, but can't call it.
func inPython(spec ddpm.Spec, folder string) string {
	if spec.Classes() == 0 {
		return fmt.Sprintf("DDPMPipeline.from_pretrained(%q)", folder)
	}
	return fmt.Sprintf("UNet2DModel.from_pretrained(%q, subfolder=\"unet\"), called with class_labels of 0 … %d; DDPMPipeline passes none",
		folder, spec.Model.ClassEmbeds-1)
}

// export copies a checkpoint's objects to a folder, which is there whole or not at
// all, and returns their keys.
func export(ctx context.Context, f found, folder string, whole bool, stderr io.Writer) (keys []string, err error) {
	parent := filepath.Dir(filepath.Clean(folder))
	temp, err := os.MkdirTemp(parent, ".ddpmctl-*")
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", folder, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(temp))
		}
	}()
	total := bytesOf(f.manifest, func(key string) bool { return whole || !isState(key) })
	var end func()
	f.store, end = movingBar(stderr, f.store, fmt.Sprintf("exporting step %d", f.manifest.Step), total, false)
	defer end()
	for _, o := range f.manifest.Objects {
		if isState(o.Key) && !whole {
			continue
		}
		if err := exportObject(ctx, f, o.Key, filepath.Join(temp, filepath.FromSlash(o.Key))); err != nil {
			return nil, err
		}
		keys = append(keys, o.Key)
	}
	if err := os.Chmod(temp, 0o755); err != nil {
		return nil, fmt.Errorf("write %s: %w", folder, err)
	}
	if err := os.Rename(temp, folder); err != nil {
		return nil, fmt.Errorf("write %s: %w", folder, err)
	}
	return keys, nil
}

// isState says that an object is of the training state, which diffusers does not read.
func isState(key string) bool { return strings.HasPrefix(key, "state/") }

func exportObject(ctx context.Context, f found, key, name string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	err = checkpoint.CopyObject(ctx, f.store, f.manifest, key, file)
	return errors.Join(err, file.Close())
}
