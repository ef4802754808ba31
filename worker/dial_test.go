package worker

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// freeAddress returns an address of loopback on which nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func TestDialNobody(t *testing.T) {
	address := freeAddress(t)
	_, _, err := dial(t.Context(), address, insecure.NewCredentials(), 2*time.Second, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "no coordinator answers at "+address) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("got %v", err)
	}
}

func TestDialSomethingElse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	})
	for security, plain := range map[credentials.TransportCredentials]bool{
		insecure.NewCredentials(): true, credentials.NewTLS(&tls.Config{ServerName: "coordinator"}): false,
	} {
		// The log, while it waits, says as much as the error in the end.
		var waiting strings.Builder
		log := slog.New(slog.NewTextHandler(onWrite(func(line string) { waiting.WriteString(line) }), nil))
		_, _, err = dial(t.Context(), l.Addr().String(), security, 200*time.Millisecond, log)
		if err == nil {
			t.Fatal("no error")
		}
		for _, text := range []string{err.Error(), waiting.String()} {
			if !strings.Contains(text, "something else listens there") || strings.Contains(text, "it wants TLS (then leave --insecure out") != plain {
				t.Errorf("--insecure is %v: %s", plain, text)
			}
		}
	}
	_ = l.Close()
	group.Wait()
}

// onWrite calls itself with what is written.
type onWrite func(string)

func (f onWrite) Write(b []byte) (int, error) {
	f(string(b))
	return len(b), nil
}

// A coordinator that starts after its workers is found.
func TestDialWaitsForTheCoordinator(t *testing.T) {
	address := freeAddress(t)
	server := grpc.NewServer()
	var group sync.WaitGroup
	var once sync.Once
	log := slog.New(slog.NewTextHandler(onWrite(func(line string) {
		if !strings.Contains(line, "waiting for the coordinator") {
			return
		}
		once.Do(func() {
			l, err := net.Listen("tcp", address)
			if err != nil {
				t.Error(err)
				return
			}
			group.Go(func() { _ = server.Serve(l) })
		})
	}), nil))
	conn, host, err := dial(t.Context(), address, insecure.NewCredentials(), 20*time.Second, log)
	if err != nil {
		t.Fatal(err)
	}
	if host != "127.0.0.1" {
		t.Errorf("reached loopback from %q", host)
	}
	_ = conn.Close()
	server.Stop()
	group.Wait()
}

func TestDialIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := dial(ctx, freeAddress(t), insecure.NewCredentials(), time.Hour, slog.New(slog.DiscardHandler)); !errors.Is(err, errInterrupted) {
		t.Errorf("got %v", err)
	}
}

func TestListen(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	for _, k := range []struct{ host, advertise, want string }{
		{"127.0.0.1", "", "127.0.0.1"},
		{"127.0.0.1", "127.0.0.1", "127.0.0.1"},
		{"127.0.0.1", "192.0.2.7", "192.0.2.7"}, // of another machine, as far as this one knows
		{"127.0.0.1", "worker.invalid", "worker.invalid"},
	} {
		r, err := listen(k.host, k.advertise, &peerServer{}, nil, log)
		if err != nil {
			t.Errorf("%+v: %v", k, err)
			continue
		}
		host, port, err := net.SplitHostPort(r.address)
		if err != nil || host != k.want || port == "0" {
			t.Errorf("%+v: tells others %s", k, r.address)
		}
		r.close()
	}
	if _, err := listen("192.0.2.7", "", &peerServer{}, nil, log); err == nil || !strings.Contains(err.Error(), "--advertise") {
		t.Errorf("got %v", err)
	}
}
