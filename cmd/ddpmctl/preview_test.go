package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/sampler/job"
	"github.com/ddpm-cluster/ddpm-cluster/internal/picture"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
)

// Two rows of pixels are a line of text, of any size and in colour or grey.
func TestHalfBlocks(t *testing.T) {
	got := halfBlocks([]shrunk{shrink([]uint8{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, 2, 3)})
	want := "\x1b[38;2;1;2;3m\x1b[48;2;7;8;9m▀\x1b[38;2;4;5;6m\x1b[48;2;10;11;12m▀\x1b[0m \n"
	if got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := halfBlocks([]shrunk{shrink(make([]uint8, 9), 3, 1)}); strings.Count(got, "▀") != 6 || strings.Count(got, "\n") != 2 {
		t.Errorf("a grey image of an odd size: %q", got)
	}
	if im := shrink(make([]uint8, 256*256*3), 256, 3); im.side != previewSide || im.colour(31, 31) != [3]uint8{} {
		t.Errorf("a large image has %d columns", im.side)
	}
}

// Every image is drawn once, when it is there, if there is room.
func TestPreviews(t *testing.T) {
	dir := t.TempDir()
	store, err := storage.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	p := &previewer{ctx: t.Context(), out: &out, uri: dir, columns: 20}
	st := &ddpmv1.JobStatus{Id: "j", Images: 3, Prefix: "runs/r/samples/j/"}
	draw := func() string {
		p.last = p.last.Add(-previewEvery)
		out.Reset()
		p.show(st)
		return out.String()
	}
	if got := draw(); got != "" {
		t.Errorf("nothing is there, and it says %q", got)
	}
	png, err := picture.Layout{Columns: 1, Zoom: 1}.PNG([][]uint8{make([]uint8, 64)}, 8, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if _, err := store.Put(t.Context(), st.Prefix+job.ImageName(i), bytes.NewReader(png), int64(len(png)), "image/png"); err != nil {
			t.Fatal(err)
		}
		st.ImagesDone++
	}
	if got := draw(); strings.Count(got, "▀") != 2*8*8/2 || !strings.HasPrefix(got, "3 of 3 images") {
		t.Errorf("20 columns have room for two images of eight: %q", got)
	}
	if got := draw(); got != "" {
		t.Errorf("they are drawn again: %q", got)
	}
	p = &previewer{ctx: t.Context(), out: &out, uri: "nosuch://", columns: 20}
	if got := draw(); strings.Count(got, "no previews") != 1 {
		t.Errorf("a Store that is not there: %q", got)
	}
	if got := draw(); got != "" {
		t.Errorf("it says it again: %q", got)
	}
}
