package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/pool"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
)

const (
	// previewEvery is how often new images are drawn, at most.
	previewEvery = 2 * time.Second
	// previewSide bounds an image in the terminal, in columns.
	previewSide = 32
	// usualColumns is the width of what is no terminal.
	usualColumns = 80
)

// previewer draws the images of a job into a terminal as they come: a line about the
// job, then the newest of the images that were not there before, as many as fit.
type previewer struct {
	ctx     context.Context
	out     io.Writer
	uri     string
	columns int

	store storage.Store
	shown map[int]bool
	last  time.Time
	// failed says that the Store can't be read: then there are lines alone.
	failed bool
}

// columns is the width of a terminal.
func columns(w io.Writer) int {
	if s := screenOf(w); s != nil {
		w = s.w
	}
	if file, ok := w.(*os.File); ok {
		if width, _, err := term.GetSize(int(file.Fd())); err == nil && width > 0 {
			return width
		}
	}
	return usualColumns
}

func (p *previewer) show(s *ddpmv1.JobStatus) {
	if s.GetEnded() == nil && time.Since(p.last) < previewEvery {
		return
	}
	fresh := p.fresh(s)
	if len(fresh) == 0 {
		return
	}
	p.last = time.Now()
	fmt.Fprintf(p.out, "%d of %d images, %s\n", s.GetImagesDone(), s.GetImages(), speed(s))
	var row []shrunk
	width := 0
	for i := len(fresh) - 1; i >= 0 && !p.failed; i-- {
		pixels, size, channels, err := pool.ReadFinished(p.ctx, p.store, s.GetPrefix(), fresh[i])
		if err != nil {
			p.fail(err)
			return
		}
		im := shrink(pixels, size, channels)
		if width += im.side + 1; width > p.columns && len(row) > 0 {
			break
		}
		row = append(row, im)
	}
	fmt.Fprint(p.out, halfBlocks(row))
}

// fresh are the finished images that were not there before, ascending.
func (p *previewer) fresh(s *ddpmv1.JobStatus) []int {
	if p.failed {
		return nil
	}
	var err error
	if p.store == nil {
		p.shown = map[int]bool{}
		if p.store, err = resultStore(p.ctx, s, p.uri); err != nil {
			p.fail(err)
			return nil
		}
	}
	all, err := pool.Finished(p.ctx, p.store, s.GetPrefix())
	if err != nil {
		p.fail(err)
		return nil
	}
	var fresh []int
	for _, n := range all {
		if !p.shown[n] {
			p.shown[n] = true
			fresh = append(fresh, n)
		}
	}
	return fresh
}

func (p *previewer) fail(err error) {
	p.failed = true
	fmt.Fprintf(p.out, "no previews: %v\n", storage.Advised(err))
}

// shrunk is a square of colours.
type shrunk struct {
	side   int
	colour func(x, y int) [3]uint8
}

// shrink takes every so many pixels of a large image.
func shrink(pixels []uint8, size, channels int) shrunk {
	step := (size + previewSide - 1) / previewSide
	return shrunk{side: size / step, colour: func(x, y int) [3]uint8 {
		at := pixels[(y*step*size+x*step)*channels:]
		if channels == 1 {
			return [3]uint8{at[0], at[0], at[0]}
		}
		return [3]uint8(at[:3])
	}}
}

// halfBlocks draws images of one size side by side, two rows of pixels a line: the upper
// half of a block in the foreground's colour, the lower in the background's.
func halfBlocks(images []shrunk) string {
	var b strings.Builder
	if len(images) == 0 {
		return ""
	}
	side := images[0].side
	for y := 0; y < side; y += 2 {
		for _, im := range images {
			for x := range side {
				up, down := im.colour(x, y), [3]uint8{}
				if y+1 < side {
					down = im.colour(x, y+1)
				}
				fmt.Fprintf(&b, "\x1b[38;2;%d;%d;%dm\x1b[48;2;%d;%d;%dm▀", up[0], up[1], up[2], down[0], down[1], down[2])
			}
			b.WriteString("\x1b[0m ")
		}
		b.WriteString("\n")
	}
	return b.String()
}
