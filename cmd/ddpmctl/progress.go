package main

import (
	"io"
	"os"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progressBar shows a bar on a terminal, and is nil elsewhere.
func progressBar(stderr io.Writer, what string) func(done, of int) {
	show := sayingBar(stderr)
	if show == nil {
		return nil
	}
	return func(done, of int) { show(done, of, what) }
}

// sayingBar is a progressBar whose words change.
func sayingBar(stderr io.Writer) func(done, of int, what string) {
	file, ok := stderr.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return nil
	}
	var bar *progressbar.ProgressBar
	return func(done, of int, what string) {
		if bar == nil {
			bar = progressbar.NewOptions(of, progressbar.OptionSetWriter(stderr),
				progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true), progressbar.OptionClearOnFinish())
		}
		bar.Describe(what)
		_ = bar.Set(done) // a bar that can't be drawn is no reason to stop
	}
}
