package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"

	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// endless serves a job that does not end, and calls something when that is watched.
type endless struct {
	ddpmv1.UnimplementedJobsServer
	watched func()
}

func (e endless) WatchJob(q *ddpmv1.WatchJobRequest, stream grpc.ServerStreamingServer[ddpmv1.WatchJobResponse]) error {
	if err := stream.Send(&ddpmv1.WatchJobResponse{Job: &ddpmv1.JobStatus{Id: q.GetId(), Images: 9}}); err != nil {
		return err
	}
	e.watched()
	<-stream.Context().Done()
	return nil
}

func (e endless) serve(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	ddpmv1.RegisterJobsServer(g, e)
	go func() { _ = g.Serve(l) }() // it ends by Stop alone
	t.Cleanup(g.Stop)
	return l.Addr().String()
}

// An interrupt before the work is done is no failure of the command's, whatever broke by
// it; what goes on without the command is said.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	at := endless{watched: interrupt}.serve(t)
	var stdout, stderr bytes.Buffer
	if code := run(ctx, []string{"jobs", "watch", "j1", "--join", at, "--insecure"}, &stdout, &stderr); code != exitInterrupted ||
		!strings.HasPrefix(stderr.String(), "ddpmctl: interrupted; job j1 goes on") || strings.Count(stderr.String(), "\n") != 1 {
		t.Errorf("watching a job: exit code %d, %s", code, &stderr)
	}
	stderr.Reset()
	if code := run(ctx, []string{"status", "--http", "127.0.0.1:1"}, &stdout, &stderr); code != exitInterrupted || stderr.String() != "ddpmctl: interrupted\n" {
		t.Errorf("asking for the status: exit code %d, %s", code, &stderr)
	}
	if code := run(ctx, []string{"--version"}, &stdout, &stderr); code != 0 {
		t.Errorf("what was done in spite of it: exit code %d, %s", code, &stderr)
	}
}

// A deadline is nobody's interrupt.
func TestDeadline(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	var stdout, stderr bytes.Buffer
	if code := run(ctx, []string{"status", "--http", "127.0.0.1:1"}, &stdout, &stderr); code != exitFailure || strings.Contains(stderr.String(), "interrupted") {
		t.Errorf("exit code %d, %s", code, &stderr)
	}
}

// asStuck makes the test binary a command that hears of an interrupt and goes on.
const asStuck = "DDPMCTL_TEST_AS_STUCK"

func stuck() {
	ctx, _ := interruptible(context.Background())
	fmt.Println("begun")
	<-ctx.Done()
	fmt.Println("asked")
	time.Sleep(time.Hour)
}

// Who interrupts twice does not wait for a command that does not end.
func TestInterruptedTwice(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), self)
	c.Env = append(os.Environ(), asStuck+"=1")
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for _, want := range []string{"begun", "asked"} {
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("it says %q, %v", lines.Text(), lines.Err())
		}
		if err := c.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	var failed *exec.ExitError
	late := time.After(30 * time.Second)
	for {
		select {
		case err := <-ended:
			if !errors.As(err, &failed) || failed.Sys().(syscall.WaitStatus).Signal() != syscall.SIGINT {
				t.Errorf("it ended with %v", err)
			}
			return
		case <-time.After(100 * time.Millisecond): // the handler goes a moment after the context
			_ = c.Process.Signal(os.Interrupt) // it may have ended just now
		case <-late:
			t.Error("it does not end")
			_ = c.Process.Kill()
		}
	}
}
