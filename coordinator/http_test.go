package coordinator

import (
	"bytes"
	"context"
	"encoding/json"
	"image/png"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/report"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

// get gets a path of the coordinator's HTTP port; "" while it does not answer so.
func (c *cluster) get(path string) []byte {
	c.t.Helper()
	m := statusLine.FindStringSubmatch(c.log.String())
	if m == nil {
		return nil
	}
	r, err := http.Get(m[1] + path)
	if err != nil {
		c.t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if r.StatusCode != http.StatusOK {
		return nil
	}
	return text
}

// awaitStatus waits for a status that is as it should be.
func (c *cluster) awaitStatus(good func(report.Status) bool) (s report.Status) {
	c.t.Helper()
	c.await(func() bool {
		s = report.Status{}
		return json.Unmarshal(c.get("api/status?points=100"), &s) == nil && good(s)
	})
	return s
}

// What the dashboard lives on: the curve, the checkpoints with their pictures, and the
// metrics; by gRPC the same status. After a new start the curve has the steps of
// before.
func TestWhatTheDashboardShows(t *testing.T) {
	t.Parallel()
	defer http.DefaultClient.CloseIdleConnections()
	dir := t.TempDir()
	c := launch(t, dir, nil, "--workers", "2", "--steps", "20", "--checkpoint-every", "10", "--http", "127.0.0.1:0")
	peers := c.team(2)
	for step := uint64(1); step <= 10; step++ {
		peers[0].trained(step, 1/float64(step))
	}
	peers[0].save(10, digest("a"))
	peers[1].save(10, digest("a"))
	s := c.awaitStatus(func(s report.Status) bool { return s.Checkpoint != nil && s.Step == 10 })
	if k := s.Checkpoint; k.Step != 10 || k.Digest != digest("a") || k.Bytes == 0 || !k.Picture || k.At == nil {
		t.Errorf("the checkpoint: %+v", k)
	}
	rate := report.Number(float64(peers[0].spec.Batch) / 0.5)
	if s.Loss != 0.1 || s.ImagesPerSecond != rate || s.SecondsPerStep != 0.5 || s.SecondsLeft != 5 || s.GradientNorm != 2 || s.Curve == nil || len(s.Curve.Step) != 10 || s.Curve.Loss[1] != 0.5 {
		t.Errorf("status %+v, curve %+v", s, s.Curve)
	}
	var all []report.Checkpoint
	if err := json.Unmarshal(c.get("api/checkpoints"), &all); err != nil || len(all) != 1 || all[0].Step != 10 || !all[0].Picture || all[0].Bytes < s.Checkpoint.Bytes {
		t.Errorf("checkpoints %+v, %v", all, err)
	}
	if _, err := png.Decode(bytes.NewReader(c.get("api/checkpoints/10/samples.png"))); err != nil {
		t.Errorf("the picture: %v", err)
	}
	if c.get("api/checkpoints/11/samples.png") != nil {
		t.Error("there is a picture of a step that has no checkpoint")
	}
	for _, want := range []string{"ddpm_step 10\n", "ddpm_steps_total 10\n", "ddpm_members 2\n", "ddpm_checkpoints_total 1\n", "ddpm_checkpoint_step 10\n"} {
		if !strings.Contains(string(c.get("metrics")), want) {
			t.Errorf("the metrics have no %q", want)
		}
	}
	c.sameByGRPC(s)
	c.interrupts <- syscall.SIGINT
	c.interrupts <- syscall.SIGINT
	c.failed("interrupted twice", "step 10")

	c = launch(t, dir, func(o *Options) { o.limits.adopt = time.Millisecond }, "--workers", "1", "--steps", "20", "--checkpoint-every", "10", "--http", "127.0.0.1:0")
	s = c.awaitStatus(func(s report.Status) bool { return s.Curve != nil && len(s.Curve.Step) == 10 })
	if s.Step != 10 || s.Curve.Loss[1] != 0.5 || s.Checkpoint == nil || !s.Checkpoint.Picture || s.Loss.Finite() {
		t.Errorf("after a new start %+v, curve %+v", s, s.Curve)
	}
	c.interrupts <- syscall.SIGINT
	c.interrupts <- syscall.SIGINT
	c.failed("")
}

// sameByGRPC asks as ddpmctl does.
func (c *cluster) sameByGRPC(want report.Status) {
	c.t.Helper()
	conn, err := grpc.NewClient(c.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close()
	client := ddpmv1.NewStatusClient(conn)
	r, err := client.GetStatus(c.t.Context(), &ddpmv1.GetStatusRequest{Points: 5})
	if err != nil {
		c.t.Fatal(err)
	}
	var s report.Status
	if err := json.Unmarshal(r.GetDocument(), &s); err != nil || s.Step != want.Step || len(s.Workers) != len(want.Workers) || s.Curve == nil || len(s.Curve.Step) != 5 || s.Curve.Width != 2 {
		c.t.Errorf("by gRPC %s, %v", r.GetDocument(), err)
	}
	if _, err := client.GetStatus(c.t.Context(), &ddpmv1.GetStatusRequest{Points: report.MaxPoints + 1}); status.Code(err) != codes.InvalidArgument {
		c.t.Errorf("too many points: %v", err)
	}
}

// asked is a Store that counts what is read.
type asked struct {
	storage.Store
	gets atomic.Int32
}

func (a *asked) Get(ctx context.Context, key string) (io.ReadCloser, storage.Info, error) {
	a.gets.Add(1)
	return a.Store.Get(ctx, key)
}

// A run that begins with imported weights resumes from step 0: there are no metrics to recall.
func TestRecallsNothingAtStep0(t *testing.T) {
	t.Parallel()
	for step, want := range map[uint64]int32{0: 0, 3: 1} {
		local, err := storage.Open(t.Context(), t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		store := &asked{Store: local}
		s := &start{store: store, resumes: true, newest: checkpoint.Manifest{Step: step}, log: slog.New(slog.DiscardHandler)}
		s.recall(t.Context(), nil)()
		if got := store.gets.Load(); got != want {
			t.Errorf("step %d: metrics are read %d times, want %d", step, got, want)
		}
	}
}
