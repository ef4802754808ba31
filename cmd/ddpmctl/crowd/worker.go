package crowd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	ddpmcluster "github.com/ddpm-cluster/ddpm-cluster"
	"github.com/ddpm-cluster/ddpm-cluster/internal/pki"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// worker is one of the crowd.
type worker struct {
	crowd  *Crowd
	number int
	conn   *grpc.ClientConn
	stream ddpmv1.Coordinator_SessionClient
	cancel context.CancelFunc

	sending sync.Mutex // a stream takes one message at a time
	// generation is the newest that it was assigned.
	generation atomic.Uint64
	dead       atomic.Bool
	sent       atomic.Uint64
	// asked puts the next sign of life off.
	asked chan struct{}
}

// admit gets a certificate by the token, trying again where the coordinator has too
// much to do.
func (w *worker) admit(ctx context.Context) (credentials.TransportCredentials, error) {
	a := w.crowd.access
	introduction := credentials.NewTLS(pki.Introduction(a.CAHash))
	for {
		c, err := w.certificate(ctx, introduction)
		switch status.Code(err) {
		case codes.OK:
			return credentials.NewTLS(pki.NewSource(c).Client(pki.Coordinator, "")), nil
		case codes.ResourceExhausted, codes.Unavailable, codes.DeadlineExceeded:
			w.crowd.retries.Add(1)
		default:
			return nil, fmt.Errorf("get a certificate: %w", err)
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// certificate makes one attempt.
func (w *worker) certificate(ctx context.Context, by credentials.TransportCredentials) (*pki.Credential, error) {
	key, request, err := pki.NewRequest()
	if err != nil {
		return nil, err
	}
	conn, err := w.dial(by)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	r, err := ddpmv1.NewJoinClient(conn).Join(ctx, &ddpmv1.JoinRequest{Token: w.crowd.access.Token, Request: request})
	if err != nil {
		return nil, err
	}
	return pki.NewCredential(r.GetCertificate().GetCertificate(), r.GetCertificate().GetAuthority(), key)
}

func (w *worker) dial(by credentials.TransportCredentials) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+w.crowd.access.Address, grpc.WithTransportCredentials(by), grpc.WithNoProxy(),
		grpc.WithContextDialer(w.crowd.Traffic.dialer(w.number)), grpc.WithDisableServiceConfig(),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}))
}

// join opens the session, and returns when the coordinator has answered: how often the
// worker is to give a sign of life by itself, and otherwise when it is asked.
func (w *worker) join(ctx context.Context, by credentials.TransportCredentials) (every, asked time.Duration, err error) {
	if w.conn, err = w.dial(by); err != nil {
		return 0, 0, err
	}
	ctx, w.cancel = context.WithCancel(ctx)
	if w.stream, err = ddpmv1.NewCoordinatorClient(w.conn).Session(ctx, grpc.WaitForReady(true)); err != nil {
		return 0, 0, fmt.Errorf("open a session: %w", err)
	}
	w.say(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Hello{Hello: &ddpmv1.Hello{
		Version: ddpmcluster.Version(), Build: ddpmcluster.Fingerprint(),
		RingAddress: fmt.Sprintf("10.%d.%d.%d:40000", w.number>>16&255, w.number>>8&255, w.number&255),
		Threads:     1, CpuLevel: "portable", Hostname: fmt.Sprintf("crowd-%d", w.number), Pid: uint32(w.number + 1),
	}}})
	m, err := w.stream.Recv()
	if err != nil {
		return 0, 0, fmt.Errorf("the answer to Hello: %w", err)
	}
	if m.GetWelcome() == nil {
		return 0, 0, fmt.Errorf("a Hello is answered with %T", m.GetBody())
	}
	w.say(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Available{Available: &ddpmv1.Available{}}})
	of := func(milliseconds uint32) time.Duration { return time.Duration(milliseconds) * time.Millisecond }
	return of(m.GetWelcome().GetHeartbeatMilliseconds()), of(m.GetWelcome().GetAskMilliseconds()), nil
}

// say sends a message; a stream that has ended is heard of by receiving.
func (w *worker) say(m *ddpmv1.WorkerMessage) {
	w.sending.Lock()
	defer w.sending.Unlock()
	_ = w.stream.Send(m)
}

// obey does what the coordinator says until the session ends.
func (w *worker) obey() error {
	for {
		m, err := w.stream.Recv()
		switch {
		case w.dead.Load():
			return nil
		case errors.Is(err, io.EOF):
			return errors.New("the coordinator has ended the session")
		case err != nil:
			return fmt.Errorf("the session broke: %w", err)
		}
		switch body := m.GetBody().(type) {
		case *ddpmv1.CoordinatorMessage_Ask:
			w.live(true)
		case *ddpmv1.CoordinatorMessage_Assignment:
			w.assigned(body.Assignment)
		case *ddpmv1.CoordinatorMessage_Halt, *ddpmv1.CoordinatorMessage_Yield:
			w.stand()
		case *ddpmv1.CoordinatorMessage_Dismiss:
			return fmt.Errorf("dismissed: %s", body.Dismiss.GetReason())
		}
	}
}

func (w *worker) assigned(a *ddpmv1.Assignment) {
	number := a.GetGeneration().GetNumber()
	w.generation.Store(number)
	if a.GetRank() == 0 {
		w.crowd.first.Store(w)
	}
	w.say(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Ready{Ready: &ddpmv1.Ready{Generation: number}}})
	w.crowd.told(number)
}

// stand says that the worker is out of its ring, with the state of the newest step.
func (w *worker) stand() {
	step := w.crowd.step.Load()
	w.say(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Position{Position: &ddpmv1.Position{
		Generation: w.generation.Load(), HasState: true, Step: step, HasGradient: step > 0, Unreachable: -1,
	}}})
}

// beat gives signs of life until the session ends.
func (w *worker) beat(every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			w.live(false)
		case <-w.asked:
			ticker.Reset(every)
		case <-w.stream.Context().Done():
			return
		}
	}
}

// live gives a sign of life.
func (w *worker) live(asked bool) {
	if asked {
		select {
		case w.asked <- struct{}{}:
		default:
		}
	}
	w.say(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Heartbeat{Heartbeat: &ddpmv1.Heartbeat{
		Generation: w.generation.Load(), Step: w.crowd.step.Load(), ShardRate: 1 + float64(w.number%7)/100,
		RingSentBytes: w.sent.Add(1 << 20), RingBytesPerSecond: 1e8, Asked: asked,
	}}})
}

// die ends the worker's process, as the coordinator sees it.
func (w *worker) die() {
	w.dead.Store(true)
	w.cancel()
	_ = w.conn.Close()
}
