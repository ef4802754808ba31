package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// Etcd is a connection to etcd, with the server itself where it is embedded.
type Etcd struct {
	client *clientv3.Client
	server *embed.Etcd
	lock   *os.File
	// made are the folders that Embed made, the innermost first.
	made []string
}

// startLimit bounds how long etcd may take to answer.
const startLimit = 30 * time.Second

// Embed starts etcd inside this process, with its data in dir. It listens
// nowhere: nobody but this process reaches it. Where it fails, it removes what it
// made. Where it can't go on later, it tells log, and ends the process.
func Embed(ctx context.Context, dir string, log *slog.Logger) (*Etcd, error) {
	e, err := embedIn(ctx, dir, log)
	if err != nil {
		return nil, fmt.Errorf("start the embedded etcd in %s: %w", dir, err)
	}
	return e, nil
}

func embedIn(ctx context.Context, dir string, log *slog.Logger) (*Etcd, error) {
	made := missing(dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err // who has the lock has the folder
	}
	e := &Etcd{lock: lock, made: made}
	if err = discardUnbegun(dir); err == nil {
		err = checkRoom(dir)
	}
	if err == nil {
		err = e.serve(ctx, dir, log)
	}
	if err != nil {
		return nil, errors.Join(err, e.Discard())
	}
	return e, nil
}

// serve starts the server and waits until it is ready.
func (e *Etcd) serve(ctx context.Context, dir string, log *slog.Logger) error {
	own, err := etcdLog(filepath.Join(dir, "etcd.log"), log)
	if err != nil {
		return err
	}
	c := embed.NewConfig()
	c.Dir = dir
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(own)
	c.ListenClientUrls, c.ListenPeerUrls = nil, nil
	nowhere := url.URL{Scheme: "http", Host: "localhost:0"}
	c.AdvertiseClientUrls, c.AdvertisePeerUrls = []url.URL{nowhere}, []url.URL{nowhere}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	// A cluster of one has nobody to send heartbeats to, and is led as soon as before: what
	// wakes an idle coordinator is what it costs. What was committed is in the log, whenever
	// the file follows.
	c.TickMs, c.ElectionMs = 200, 1000
	c.BackendBatchInterval = 5 * time.Second
	// What was overwritten would stay for ever, and a run of weeks fill the room that etcd has.
	c.AutoCompactionMode, c.AutoCompactionRetention = embed.CompactorModePeriodic, "1h"
	server, err := embed.StartEtcd(c)
	if err != nil {
		return err
	}
	e.server = server
	timer := time.NewTimer(startLimit)
	defer timer.Stop()
	select {
	case <-server.Server.ReadyNotify():
	case <-timer.C:
		return fmt.Errorf("it is not ready after %s; look at etcd.log there", startLimit)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	e.client = v3client.New(server.Server)
	return nil
}

// missing lists those of a folder and its parents that are not there, the
// innermost first.
func missing(dir string) []string {
	var dirs []string
	for {
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			return dirs
		}
		dirs = append(dirs, dir)
		dir = filepath.Dir(dir)
	}
}

// lockDir makes sure that one process uses the folder; etcd itself would wait
// without a word.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(errors.New("another coordinator uses it; stop that one, or choose another --data-dir"), f.Close())
	}
	return f, nil
}

// Dial connects to an external etcd. secure is TLS for endpoints that begin with
// https://; nil trusts this machine's authorities.
func Dial(ctx context.Context, endpoints []string, secure *tls.Config) (*Etcd, error) {
	client, err := clientv3.New(clientv3.Config{
		Endpoints: endpoints, TLS: secure, DialTimeout: startLimit,
		DialOptions: []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{
			// Or else one that was away for minutes is asked again only after two more.
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		})},
		// A member whose machine is gone says nothing of it: another one is asked then.
		DialKeepAliveTime: 10 * time.Second, DialKeepAliveTimeout: 5 * time.Second,
		Context: context.WithoutCancel(ctx), // each request has its own
		Logger:  zap.NewNop(),               // errors are returned
	})
	if err != nil {
		return nil, fmt.Errorf("connect to etcd at %v: %w", endpoints, err)
	}
	probe, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if _, err := client.Get(probe, "/ddpm"); err != nil {
		return nil, fmt.Errorf("etcd at %v does not answer: %w; check --etcd and that it runs", endpoints, errors.Join(err, closeClient(client)))
	}
	return &Etcd{client: client}, nil
}

// Close ends the connection and the embedded server.
func (e *Etcd) Close() error {
	err := e.stop()
	if e.lock != nil {
		err = errors.Join(err, e.lock.Close())
	}
	return err
}

// Discard closes, and removes the folders that Embed made: for a start that came
// to nothing. Folders that were there before stay.
func (e *Etcd) Discard() error {
	err := e.stop()
	for i, dir := range e.made {
		if i == 0 {
			// Under the lock, so that nobody else has moved in.
			err = errors.Join(err, os.RemoveAll(dir))
		} else if os.Remove(dir) != nil {
			break // others keep something there
		}
	}
	if e.lock != nil {
		err = errors.Join(err, e.lock.Close())
	}
	return err
}

func (e *Etcd) stop() error {
	var err error
	if e.client != nil {
		err = closeClient(e.client)
	}
	if e.server != nil {
		e.server.Close()
	}
	return err
}

// closeClient closes a client; that its own context ended is no failure.
func closeClient(c *clientv3.Client) error {
	if err := c.Close(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}
