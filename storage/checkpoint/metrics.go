package checkpoint

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/ddpm-cluster/ddpm-cluster/storage"
)

// MetricsLog writes a run's metrics.jsonl. Lines gather in memory until Flush,
// which rewrites the object, since a Store can't append. All methods may be called
// concurrently.
type MetricsLog struct {
	st  storage.Store
	key string

	flushing sync.Mutex // held over a whole Flush; guards those before the next mutex
	// resume is the least step whose lines are this log's: those of before are dropped.
	resume uint64
	kept   int64 // bytes of the stored object that stay
	size   int64 // bytes that it has: unknown after a Put that failed
	// doubted says that the last Flush found another object than the log had left, and read it:
	// that it is another one once more is nobody's late write.
	doubted bool
	// written are the newest lines of this log in the object: they are written again where a
	// late write takes them away.
	written []byte
	// holds bounds written, in bytes.
	holds int

	mu      sync.Mutex
	pending []byte // lines that are not stored
	next    uint64 // the least step that Append takes
}

// holdsLines is how much a log keeps in memory of what it has stored, in bytes: some 100000
// steps. A write that comes later than those is not made up for.
const holdsLines = 32 << 20

const unknown = -1

// OpenMetrics continues a run's log, or begins it. Of the lines there, those of
// resume and later steps are dropped, at the first Flush: the steps are done again.
func OpenMetrics(ctx context.Context, st storage.Store, run string, resume uint64) (*MetricsLog, error) {
	if err := ValidRunName(run); err != nil {
		return nil, err
	}
	l := &MetricsLog{st: st, key: MetricsKey(run), resume: resume, holds: holdsLines}
	var err error
	l.next, err = l.adopt(ctx)
	if err != nil {
		return nil, err
	}
	return l, nil
}

// adopt reads how much of the stored object stays, and returns the step of the last line
// of that. This log's own lines are to be written again after it.
func (l *MetricsLog) adopt(ctx context.Context) (last uint64, err error) {
	var kept, size int64
	switch body, info, err := l.st.Get(ctx, l.key); {
	case errors.Is(err, storage.ErrNotFound):
	case err != nil:
		return 0, err
	default:
		size = info.Size
		kept, last, err = l.before(body)
		if err = errors.Join(err, body.Close()); err != nil {
			return 0, fmt.Errorf("read %s: %w", l.key, err)
		}
	}
	l.kept, l.size = kept, size
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending, l.written = append(l.written, l.pending...), nil
	return last, nil
}

// before returns how many bytes of an object are lines of before resume, and the step of the
// last of them.
func (l *MetricsLog) before(object io.Reader) (bytesOf int64, last uint64, err error) {
	// Steps ascend, so that what stays is the beginning. A line that can't be read
	// ends it too.
	lines := bufio.NewReader(object)
	for {
		line, rerr := lines.ReadBytes('\n')
		if rerr != nil && !errors.Is(rerr, io.EOF) {
			return 0, 0, rerr
		}
		step, perr := lineStep(bytes.TrimSuffix(line, []byte{'\n'}))
		if rerr != nil || perr != nil || step >= l.resume || step < last {
			return bytesOf, last, nil
		}
		bytesOf += int64(len(line))
		last = step
	}
}

// Append adds a line: a JSON object without line breaks, whose "step" is step.
// Steps never descend.
func (l *MetricsLog) Append(step uint64, line []byte) error {
	got, err := lineStep(line)
	if err == nil && got != step {
		err = fmt.Errorf("it says step %d", got)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil && step < l.next {
		err = fmt.Errorf("step %d has been logged before", l.next)
	}
	if err != nil {
		return fmt.Errorf("%s: line of step %d: %w", l.key, step, err)
	}
	l.next = step
	l.pending = append(append(l.pending, line...), '\n')
	return nil
}

// Flush stores the lines since the last one. Those that a Flush did not store, since it
// failed or the object was another than before, stay for the next. It fails where somebody
// else goes on writing the object.
func (l *MetricsLog) Flush(ctx context.Context) error {
	l.flushing.Lock()
	defer l.flushing.Unlock()
	if len(l.waiting()) == 0 {
		return nil
	}
	_, err := l.flush(ctx)
	return err
}

// Finish is the last Flush of a run: no other one comes to write what a late write took away,
// so that this one looks whether all lines stand, and waits for no other.
func (l *MetricsLog) Finish(ctx context.Context) error {
	l.flushing.Lock()
	defer l.flushing.Unlock()
	ours, err := l.flush(ctx)
	if err == nil && !ours {
		_, err = l.flush(ctx)
	}
	return err
}

// flush writes what waits, if the object is this log's.
func (l *MetricsLog) flush(ctx context.Context) (ours bool, err error) {
	if ours, err := l.own(ctx); err != nil || !ours {
		return false, err
	}
	pending := l.waiting()
	if len(pending) == 0 {
		return true, nil
	}
	if err := l.store(ctx, pending); err != nil {
		return false, err
	}
	l.hold(pending)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending = slices.Clone(l.pending[len(pending):])
	return true, nil
}

func (l *MetricsLog) waiting() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.pending)
}

// hold keeps lines that were stored, and lets go of the oldest beyond holds, whole steps of
// them: in an object that is read again, those stay if they are there.
func (l *MetricsLog) hold(stored []byte) {
	l.written = append(l.written, stored...)
	for len(l.written) > 0 {
		end := bytes.IndexByte(l.written, '\n') + 1
		step, err := lineStep(l.written[:end-1])
		if err == nil && step >= l.resume && len(l.written) <= l.holds {
			return
		}
		l.resume = max(l.resume, step+1)
		l.written = l.written[end:]
	}
}

// store writes the object anew: what stays of it, and the pending lines.
func (l *MetricsLog) store(ctx context.Context, pending []byte) error {
	var old io.Closer = io.NopCloser(nil)
	defer func() { _ = old.Close() }() // it was only read
	content := &reopened{open: func() (io.Reader, error) {
		if l.kept == 0 {
			return bytes.NewReader(pending), nil
		}
		stays, err := l.st.GetRange(ctx, l.key, 0, l.kept)
		if err != nil {
			return nil, err
		}
		_ = old.Close() // of a try that failed
		old = stays
		return io.MultiReader(stays, bytes.NewReader(pending)), nil
	}}
	if err := content.Rewind(); err != nil {
		return err
	}
	size := l.kept + int64(len(pending))
	l.size = unknown
	if _, err := l.st.Put(ctx, l.key, content, size, "application/jsonl"); err != nil {
		return err
	}
	l.kept, l.size = size, size
	return nil
}

// own makes sure that the stored object is the one that this log left. Where it
// was deleted, what comes is kept nevertheless.
//
// It may be another one at any time: what the coordinator before was writing when it was
// halted reaches the Store when it goes on, however long its successor has led. Then it is
// read again, and ours is false: the lines wait for the next Flush, by which another writer
// that lives would have written again, and is left alone.
func (l *MetricsLog) own(ctx context.Context) (ours bool, err error) {
	infos, err := l.st.List(ctx, l.key)
	if err != nil {
		return false, err
	}
	if len(infos) == 0 || infos[0].Key != l.key {
		l.kept, l.written, l.doubted = 0, nil, false
		return true, nil
	}
	switch size := infos[0].Size; {
	case size == l.size:
		l.doubted = false
		return true, nil
	case l.size == unknown: // it may be this log's own, or have been replaced before that
		_, err := l.adopt(ctx)
		return err == nil, err
	case !l.doubted:
		_, err := l.adopt(ctx)
		l.doubted = err == nil
		return false, err
	default:
		return false, fmt.Errorf("%w: %s in %s: it has %d bytes, not the %d that it was left with: another coordinator writes this run; stop one of them, or choose another --run",
			ErrConflict, l.key, l.st, size, l.size)
	}
}

// lineStep returns the step of a line.
func lineStep(line []byte) (uint64, error) {
	if bytes.IndexByte(line, '\n') >= 0 {
		return 0, errors.New("it has a line break")
	}
	var v struct {
		Step *uint64 `json:"step"`
	}
	if err := json.Unmarshal(line, &v); err != nil {
		return 0, fmt.Errorf("it is no JSON object with a step: %w", err)
	}
	if v.Step == nil {
		return 0, errors.New("it has no step")
	}
	return *v.Step, nil
}
