package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/initial"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/internal/picture"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

func importCommand(stdout io.Writer) *cobra.Command {
	var t target
	var folder string
	out := output{stdout: stdout}
	c := &cobra.Command{
		Use:   "import",
		Short: "Bring a folder of Hugging Face diffusers into the Store, to sample from",
		Long: "Import makes a run of the network in a folder that diffusers has written (DDPMPipeline, or\n" +
			"UNet2DModel with its scheduler; the layouts of today and of 2022; .safetensors), whose checkpoint of\n" +
			"step 0 ddpmctl sample draws from. To train on from it, give the folder to ddpm-coordinator --init.",
		Example: "  ddpmctl checkpoints import --from ddpm-cifar10-32 --run cifar10-google --storage ddpm-data",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if folder == "" || t.run == "" {
				return usageError{errors.New("--from and --run are needed: the folder to read and the name of the run to make")}
			}
			if err := checkpoint.ValidRunName(t.run); err != nil {
				return usageError{err}
			}
			m, err := t.importFolder(c.Context(), c, folder)
			if err != nil {
				return err
			}
			return out.print(listedOf(m), func() {
				fmt.Fprintf(stdout, "run %s: %d parameters of %s; draw with ddpmctl sample --storage %s --run %s --out FILE.png\n", t.run, m.Params, folder, t.storage, t.run)
			})
		},
	}
	c.Flags().StringVar(&folder, "from", "", "the folder to read: a path or s3://bucket/folder?endpoint=HOST:PORT (needed)")
	t.runFlags(c)
	c.Flags().Lookup("run").Usage = "the `NAME` of the run to make (needed)"
	out.flags(c)
	return c
}

// importFolder makes the run. A run of that name is only taken where it is of the same
// network, as one that was cut off is.
func (t *target) importFolder(ctx context.Context, c *cobra.Command, folder string) (m checkpoint.Manifest, err error) {
	source, err := initial.Open(ctx, folder, 0)
	if err != nil {
		return m, fmt.Errorf("--from: %w", err)
	}
	spec := ddpm.ImportedSpec(source.Model, source.Diffusion, source.Digest)
	if err := spec.Validate(); err != nil {
		return m, fmt.Errorf("--from %s: %w", folder, err)
	}
	if err := picture.CheckChannels(spec.Model.InChannels); err != nil {
		return m, fmt.Errorf("--from %s: nothing can be drawn from it: %w; give a folder of a network that predicts pixels, not the latent values of an autoencoder", folder, err)
	}
	text, err := spec.Encode()
	if err != nil {
		return m, err
	}
	st, err := t.openStore(ctx)
	if err != nil {
		return m, err
	}
	if err := storage.Probe(ctx, st, slog.New(slog.NewTextHandler(c.ErrOrStderr(), nil))); err != nil {
		return m, err
	}
	err = checkpoint.CreateRun(ctx, st, t.run, text)
	if errors.Is(err, storage.ErrExists) {
		return m, fmt.Errorf("run %s is in %s already, with another config; choose another --run", t.run, st)
	}
	if err != nil {
		return m, err
	}
	writing, end := movingBar(c.ErrOrStderr(), st, "importing", -1, false)
	defer end()
	return source.Publish(ctx, writing, t.run)
}
