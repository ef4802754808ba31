package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

// loadWeights reads a checkpoint's averaged weights in the order of the flat
// parameter vector.
func loadWeights(ctx context.Context, at found) ([]float32, error) {
	tensors, err := checkpoint.LoadEMA(ctx, at.store, at.manifest)
	if err != nil {
		return nil, err
	}
	weights := make([]float32, at.spec.Model.ParamCount())
	for _, p := range at.spec.Model.Params() {
		t, ok := tensors[p.Name]
		if !ok || len(t.Data) != p.Len() {
			return nil, fmt.Errorf("%s%s: %w: it has %d elements of %s, the run's config wants %d",
				checkpoint.StepPrefix(at.manifest.Run, at.manifest.Step), checkpoint.UNetWeightsKey, checkpoint.ErrCorrupt, len(t.Data), p.Name, p.Len())
		}
		copy(weights[p.Offset:], t.Data)
	}
	return weights, nil
}

// progressBar shows a bar on a terminal, and is nil elsewhere.
func progressBar(stderr io.Writer, what string) func(done, of int) {
	file, ok := stderr.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return nil
	}
	var bar *progressbar.ProgressBar
	return func(done, of int) {
		if bar == nil {
			bar = progressbar.NewOptions(of, progressbar.OptionSetWriter(stderr), progressbar.OptionSetDescription(what),
				progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true), progressbar.OptionClearOnFinish())
		}
		_ = bar.Set(done) // a bar that can't be drawn is no reason to stop
	}
}
