package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/sampler/job"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// A picture of a job with more images than it shows says so; a folder has all.
func TestFetchedPicture(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{
		job.MaxGrid:     ".png: 1024 images of run digits, step 7: ",
		job.MaxGrid + 1: ".png: the first 1,024 of 1,025 images of run digits, step 7: ",
	} {
		folder := t.TempDir()
		if err := os.WriteFile(filepath.Join(folder, job.GridName), []byte("a grid"), 0o600); err != nil {
			t.Fatal(err)
		}
		text, err := job.Job{Format: job.Format, Run: "digits", Step: 7, N: n}.Encode()
		if err != nil {
			t.Fatal(err)
		}
		out := &sampleOutput{path: filepath.Join(t.TempDir(), "drawn.png")}
		var stdout bytes.Buffer
		err = fetched(t.Context(), &ddpmv1.JobStatus{Id: "j", Job: text, Images: uint32(n), Storage: folder}, out, "", &stdout, io.Discard)
		if err != nil || !strings.Contains(stdout.String(), want) {
			t.Errorf("%d images: %s, %v", n, &stdout, err)
		}
		if got, err := os.ReadFile(out.path); err != nil || string(got) != "a grid" {
			t.Errorf("the picture is %q, %v", got, err)
		}
	}
}

// A reader that is gone ends the process where it writes: by then nothing is left that
// somebody would have to remove.
func TestNothingIsLeftBehindStdout(t *testing.T) {
	folder := t.TempDir()
	t.Setenv("TMPDIR", folder)
	written := false
	out := &sampleOutput{path: toStdout}
	err := out.place(writes(func() {
		written = true
		if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	}), func(path string) error { return os.WriteFile(path, []byte("a picture"), 0o600) })
	if err != nil || !written {
		t.Errorf("written: %v, %v", written, err)
	}
}
