package main

import (
	"io"

	"github.com/schollz/progressbar/v3"
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
	s := screenOf(stderr)
	if s == nil {
		return nil
	}
	var bar *progressbar.ProgressBar
	return func(done, of int, what string) {
		s.draw(func() {
			if bar == nil {
				bar = progressbar.NewOptions(of, progressbar.OptionSetWriter(s.w),
					progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true), progressbar.OptionClearOnFinish())
			}
			bar.Describe(what)
			_ = bar.Set(done) // a bar that can't be drawn is no reason to stop
		})
	}
}
