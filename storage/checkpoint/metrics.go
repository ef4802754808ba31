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

	resume uint64 // the least step whose lines of before are dropped

	flushing sync.Mutex // held over a whole Flush; guards the three below
	kept     int64      // bytes of the stored object that stay
	size     int64      // bytes that it has: unknown after a Put that failed
	// settled says that the object was read again, or is this log's own: that it is
	// another one then is nobody's late write.
	settled bool

	mu      sync.Mutex
	pending []byte // lines that are not stored
	next    uint64 // the least step that Append takes
}

const unknown = -1

// OpenMetrics continues a run's log, or begins it. Of the lines there, those of
// resume and later steps are dropped, at the first Flush: the steps are done again.
func OpenMetrics(ctx context.Context, st storage.Store, run string, resume uint64) (*MetricsLog, error) {
	if err := ValidRunName(run); err != nil {
		return nil, err
	}
	l := &MetricsLog{st: st, key: MetricsKey(run), resume: resume}
	var err error
	l.next, err = l.adopt(ctx)
	if err != nil {
		return nil, err
	}
	return l, nil
}

// adopt reads how much of the stored object stays, and returns the step of the last line
// of that.
func (l *MetricsLog) adopt(ctx context.Context) (last uint64, err error) {
	l.kept, l.size = 0, 0
	body, info, err := l.st.Get(ctx, l.key)
	if errors.Is(err, storage.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	l.size = info.Size
	// Steps ascend, so that what stays is the beginning. A line that can't be read
	// ends it too.
	lines := bufio.NewReader(body)
	for {
		line, rerr := lines.ReadBytes('\n')
		if rerr != nil && !errors.Is(rerr, io.EOF) {
			return 0, fmt.Errorf("read %s: %w", l.key, errors.Join(rerr, body.Close()))
		}
		step, perr := lineStep(bytes.TrimSuffix(line, []byte{'\n'}))
		if rerr != nil || perr != nil || step >= l.resume || step < last {
			return last, body.Close()
		}
		l.kept += int64(len(line))
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
// failed or the object was another than before, stay for the next. It fails where somebody else has written the object.
func (l *MetricsLog) Flush(ctx context.Context) error {
	l.flushing.Lock()
	defer l.flushing.Unlock()
	l.mu.Lock()
	pending := slices.Clone(l.pending)
	l.mu.Unlock()
	if len(pending) == 0 {
		return nil
	}
	if ours, err := l.own(ctx); err != nil || !ours {
		return err
	}
	if err := l.store(ctx, pending); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending = slices.Clone(l.pending[len(pending):])
	return nil
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
	l.kept, l.size, l.settled = size, size, true
	return nil
}

// own makes sure that the stored object is the one that this log knows. Where it
// was deleted, what comes is kept nevertheless.
//
// It may have changed once since it was opened: what the coordinator before was writing
// when it died can reach the Store after its successor has read the log. Then it is read
// again, and ours is false: the lines wait for the next Flush, by which another writer that
// lives would have written again, and is left alone.
func (l *MetricsLog) own(ctx context.Context) (ours bool, err error) {
	infos, err := l.st.List(ctx, l.key)
	if err != nil {
		return false, err
	}
	if len(infos) == 0 || infos[0].Key != l.key {
		l.kept = 0
		return true, nil
	}
	switch size := infos[0].Size; {
	case l.size == unknown || size == l.size:
		return true, nil
	case !l.settled:
		_, err := l.adopt(ctx)
		l.settled = err == nil
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
