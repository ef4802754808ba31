package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// away is that no coordinator answers now; another one may soon.
type away struct{ error }

// errCut is a stream that ends before the run has.
var errCut = away{errors.New("the coordinator has ended, and the run has not")}

// watchRun shows the status until the run has ended, through restarts of the coordinator.
func (f *statusFlags) watchRun(ctx context.Context) error {
	follow := f.byGRPC
	if f.http != "" {
		follow = f.byHTTP
	}
	var heard time.Time
	ended, missed := false, false
	for {
		err := follow(ctx, func(document []byte) error {
			s, err := decoded(document)
			if err != nil {
				return err
			}
			first := heard.IsZero()
			heard, missed, ended = time.Now(), false, s.Phase == "ended"
			return f.print(document, s, first)
		})
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case ended && (err == nil || errors.As(err, &away{})):
			return nil // the last word was heard
		case err == nil:
			err = errCut
		case heard.IsZero() || !errors.As(err, &away{}):
			return err
		}
		if time.Since(heard) > f.patience {
			return fmt.Errorf("no coordinator for %v, and the run had not ended: %w", f.patience, err)
		}
		if !missed {
			fmt.Fprintf(f.stderr, "%s; waiting for one, up to %v\n", err, f.patience)
			missed = true
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// byGRPC follows one coordinator to the end of what it says. The connection is new each
// time: one that has failed waits ever longer before it dials again.
func (f *statusFlags) byGRPC(ctx context.Context, show func([]byte) error) error {
	server, conn, err := f.admin.connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, hear, stop := silence(ctx)
	defer stop()
	stream, err := ddpmv1.NewStatusClient(conn).WatchStatus(ctx, &ddpmv1.WatchStatusRequest{Points: uint32(f.points)}, grpc.MaxCallRecvMsgSize(maxStatus))
	for err == nil {
		var r *ddpmv1.WatchStatusResponse
		if r, err = stream.Recv(); err != nil {
			break
		}
		hear()
		if err := show(r.GetDocument()); err != nil {
			return err
		}
	}
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case errors.Is(context.Cause(ctx), errSilent):
		return away{fmt.Errorf("the coordinator at %s: %w", server, errSilent)}
	case status.Code(err) == codes.Unavailable:
		return away{said(server, err)}
	}
	return said(server, err)
}

// byHTTP is the same at a loopback address.
func (f *statusFlags) byHTTP(ctx context.Context, show func([]byte) error) error {
	ctx, hear, stop := silence(ctx)
	defer stop()
	body, err := f.get(ctx, "/api/status", url.Values{"watch": {"1"}})
	if err != nil {
		return err
	}
	defer body.Close()
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxStatus)
	lines.Split(func(data []byte, _ bool) (int, []byte, error) { return bufio.ScanLines(data, false) }) // a line that was cut is none
	for lines.Scan() {
		hear()
		if err := show(lines.Bytes()); err != nil {
			return err
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return fmt.Errorf("the coordinator at %s: a status of more than %d bytes", f.http, maxStatus)
	} else if err != nil {
		return away{fmt.Errorf("the coordinator at %s: %w", f.http, err)}
	}
	return nil
}

// errSilent ends a stream whose other end may be gone without a word.
var errSilent = fmt.Errorf("it has said nothing for %v", answerLimit)

// silence ends a context where nothing is heard for as long as an answer may take.
func silence(ctx context.Context) (_ context.Context, hear, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(answerLimit, func() { cancel(errSilent) })
	return ctx, func() { timer.Reset(answerLimit) }, func() {
		timer.Stop()
		cancel(nil)
	}
}
