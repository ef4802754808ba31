package registry

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"golang.org/x/sys/unix"
)

// Etcd is a connection to etcd, with the server itself where it is embedded.
type Etcd struct {
	client *clientv3.Client
	server *embed.Etcd
	lock   *os.File
}

// startLimit bounds how long etcd may take to answer.
const startLimit = 30 * time.Second

// Embed starts etcd inside this process, with its data in dir. It listens
// nowhere: nobody but this process reaches it.
func Embed(ctx context.Context, dir string) (*Etcd, error) {
	fail := func(err error) (*Etcd, error) {
		return nil, fmt.Errorf("start the embedded etcd in %s: %w", dir, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fail(err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return fail(err)
	}
	c := embed.NewConfig()
	c.Dir = dir
	c.LogLevel, c.LogOutputs = "warn", []string{filepath.Join(dir, "etcd.log")}
	c.ListenClientUrls, c.ListenPeerUrls = nil, nil
	nowhere := url.URL{Scheme: "http", Host: "localhost:0"}
	c.AdvertiseClientUrls, c.AdvertisePeerUrls = []url.URL{nowhere}, []url.URL{nowhere}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	server, err := embed.StartEtcd(c)
	if err != nil {
		return fail(errors.Join(err, lock.Close()))
	}
	e := &Etcd{server: server, lock: lock}
	select {
	case <-server.Server.ReadyNotify():
	case <-time.After(startLimit):
		return fail(errors.Join(fmt.Errorf("it is not ready after %s", startLimit), e.Close()))
	case <-ctx.Done():
		return fail(errors.Join(context.Cause(ctx), e.Close()))
	}
	e.client = v3client.New(server.Server)
	return e, nil
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

// Dial connects to an external etcd.
func Dial(ctx context.Context, endpoints []string) (*Etcd, error) {
	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints, DialTimeout: startLimit, Context: ctx})
	if err != nil {
		return nil, fmt.Errorf("connect to etcd at %v: %w", endpoints, err)
	}
	probe, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if _, err := client.Get(probe, "/ddpm"); err != nil {
		return nil, fmt.Errorf("etcd at %v does not answer: %w; check --etcd", endpoints, errors.Join(err, client.Close()))
	}
	return &Etcd{client: client}, nil
}

// Close ends the connection and the embedded server.
func (e *Etcd) Close() error {
	var err error
	if e.client != nil {
		err = e.client.Close()
		if errors.Is(err, context.Canceled) {
			err = nil
		}
	}
	if e.server != nil {
		e.server.Close()
	}
	if e.lock != nil {
		err = errors.Join(err, e.lock.Close())
	}
	return err
}
