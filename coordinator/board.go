package coordinator

import (
	"bytes"
	"context"
	"fmt"
	"image/png"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/report"
	"github.com/ddpm-cluster/ddpm-cluster/internal/tfevents"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

const (
	// boardEvery is how often what came is stored: an object can't be appended to, so
	// each time is a file of its own.
	boardEvery = time.Minute
	// boardRoom bounds what waits for a Store that does not answer, in bytes.
	boardRoom = 16 << 20
)

// board writes event files for TensorBoard beside the run. Nobody waits for it: what
// comes is kept in memory, and stored beside the loop. All methods may be called on
// nil, which writes nothing.
type board struct {
	store storage.Store
	run   string
	log   *slog.Logger

	mu      sync.Mutex
	begins  uint64 // the first step of this coordinator
	pending []byte // events of the next file
	dropped int    // events that found no room
	// sealed is a file that is not known to be stored, files how many there were.
	sealed segment
	files  int
	now    func() time.Time

	stop    context.CancelFunc
	storing sync.WaitGroup
}

// segment is one event file. Its name begins with the time, so that TensorBoard, which
// reads in the order of names, reads in the order of time.
type segment struct {
	key     string
	content []byte
}

// newBoard begins to write; begins is the first step that will come.
func newBoard(ctx context.Context, st storage.Store, run string, begins uint64, log *slog.Logger) *board {
	b := &board{store: st, run: run, log: log, begins: begins, now: time.Now}
	ctx, b.stop = context.WithCancel(ctx)
	b.storing.Go(func() {
		ticker := time.NewTicker(boardEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				b.flush(ctx)
			case <-ctx.Done():
				return
			}
		}
	})
	return b
}

// step adds a completed step.
func (b *board) step(l report.Line) {
	if b == nil {
		return
	}
	var s []tfevents.Scalar
	add := func(tag string, value float64) {
		if !math.IsNaN(value) && !math.IsInf(value, 0) {
			s = append(s, tfevents.Scalar{Tag: tag, Value: value})
		}
	}
	if !l.Skipped {
		add("train/loss", float64(l.Loss))
		add("train/gradient_norm", float64(l.GradientNorm))
	}
	add("train/learning_rate", l.LearningRate)
	if l.Timed() {
		add("throughput/images_per_second", float64(l.Images)/l.Seconds)
		add("seconds/step", l.Seconds)
		add("seconds/compute", l.ComputeSeconds)
		add("seconds/reduce", l.ReduceSeconds)
		add("seconds/update", l.UpdateSeconds)
	}
	b.append(func(to []byte, at time.Time) []byte { return tfevents.AppendScalars(to, at, l.Step, s) })
}

// picture adds what a checkpoint draws, a PNG.
func (b *board) picture(step uint64, picture []byte, channels int) {
	if b == nil {
		return
	}
	c, err := png.DecodeConfig(bytes.NewReader(picture))
	if err != nil {
		b.log.Warn("a picture is not shown in TensorBoard", "step", step, "err", err)
		return
	}
	b.append(func(to []byte, at time.Time) []byte {
		return tfevents.AppendImage(to, at, step, "samples", picture, c.Height, c.Width, channels)
	})
}

func (b *board) append(event func([]byte, time.Time) []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.pending) >= boardRoom {
		b.dropped++
		return
	}
	at := b.now()
	if len(b.pending) == 0 {
		b.pending = tfevents.AppendBegin(b.pending, at)
		if b.files == 0 {
			b.pending = tfevents.AppendStart(b.pending, at, b.begins)
		}
	}
	b.pending = event(b.pending, at)
}

// flush stores what came since the last time. What can't be stored now is tried again
// the next time, under the same name.
func (b *board) flush(ctx context.Context) {
	for {
		s, ok := b.seal()
		if !ok {
			return
		}
		_, err := b.store.Put(ctx, s.key, bytes.NewReader(s.content), int64(len(s.content)), "application/octet-stream")
		if err != nil {
			if ctx.Err() == nil {
				b.log.Warn("an event file is not stored; trying again", "key", s.key, "err", err)
			}
			return
		}
		b.mu.Lock()
		b.sealed = segment{}
		b.mu.Unlock()
	}
}

// seal gives the file to store, of what is pending if there is no other.
func (b *board) seal() (segment, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sealed.key == "" && len(b.pending) > 0 {
		b.files++
		name := fmt.Sprintf("events.out.tfevents.%010d.%06d", b.now().Unix(), b.files)
		b.sealed = segment{checkpoint.TensorBoardPrefix(b.run) + name, b.pending}
		b.pending = nil
		if b.dropped > 0 {
			b.log.Warn("events for TensorBoard were dropped while the Store did not answer; metrics.jsonl has all", "events", b.dropped)
			b.dropped = 0
		}
	}
	return b.sealed, b.sealed.key != ""
}

// close stores what is left, unless ctx ends first.
func (b *board) close(ctx context.Context) {
	if b == nil {
		return
	}
	b.stop()
	b.storing.Wait()
	b.flush(ctx)
}
