package registry

import (
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
)

// external starts an etcd that listens, as an operator's does.
func external(t *testing.T) (endpoint string) {
	t.Helper()
	c := embed.NewConfig()
	c.Dir = t.TempDir()
	c.LogLevel, c.LogOutputs = "error", []string{filepath.Join(c.Dir, "log")}
	u := url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{u}, []url.URL{u}
	c.ListenPeerUrls, c.AdvertisePeerUrls = nil, []url.URL{u}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	server, err := embed.StartEtcd(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	select {
	case <-server.Server.ReadyNotify():
	case <-time.After(wait):
		t.Fatal("etcd does not start")
	}
	return server.Clients[0].Addr().String()
}

func dialled(t *testing.T, endpoint string) *Etcd {
	t.Helper()
	e, err := Dial(t.Context(), []string{endpoint}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("close the client: %v", err)
		}
	})
	return e
}
