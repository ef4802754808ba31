//go:build chaos

package chaos

import (
	"flag"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"

	"github.com/ddpm-cluster/ddpm-cluster/internal/s3test"
)

var outage = flag.Duration("outage", 30*time.Second, "how long etcd is away")

// etcdAt serves an etcd on a port, with its data in a folder.
func etcdAt(t *testing.T, dir, port string) *embed.Etcd {
	t.Helper()
	c := embed.NewConfig()
	c.Dir = dir
	c.LogLevel, c.LogOutputs = "error", []string{filepath.Join(filepath.Dir(dir), "etcd.log")}
	client, peer := url.URL{Scheme: "http", Host: "127.0.0.1:" + port}, url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	e, err := embed.StartEtcd(c)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-e.Server.ReadyNotify():
	case <-time.After(limit):
		t.Fatal("etcd is not ready")
	}
	return e
}

// TestEtcdAway takes etcd away for a while: no step fails, and the digest is the
// quiet one.
func TestEtcdAway(t *testing.T) {
	dir, port := filepath.Join(t.TempDir(), "etcd"), freePort(t)
	etcd := etcdAt(t, dir, port)
	steps := 500 + int(outage.Seconds())*60
	c := newCluster(t, 3, "--steps", strconv.Itoa(steps), "--checkpoint-every", "1000", "--etcd", "127.0.0.1:"+port)
	s := c.until("training", limit, training(3))
	c.until("on", limit, func(now status) bool { return now.Step > s.Step+20 })
	etcd.Close()
	before, _ := c.status()
	time.Sleep(*outage)
	after, _ := c.status()
	etcd = etcdAt(t, dir, port)
	t.Logf("%d steps in the %s without etcd, generation %d and %d", after.Step-before.Step, *outage, before.Generation, after.Generation)
	if after.Step <= before.Step || after.Generation != before.Generation {
		t.Error("training did not go on undisturbed")
	}
	// Membership can change again.
	w := c.alive()[0]
	w.signal(9)
	<-w.done
	got := c.finish(20 * time.Minute)
	etcd.Close()
	gaps := c.stepGaps(c.alive0().name)
	t.Logf("the longest time between two steps is %s, the median %s", percentile(gaps, 100), percentile(gaps, 50))
	if want := quiet(t, steps); got != want {
		t.Errorf("digest %s, one quiet worker has %s", got, want)
	}
}

// alive0 is a worker that lived to the end.
func (c *cluster) alive0() *process { return c.workers[len(c.workers)-1] }

// TestStandby takes the leader away: the standby takes over in its generation. A
// leader that was only halted, and wakes up then, commits nothing, and ends.
func TestStandby(t *testing.T) {
	t.Run("kill", func(t *testing.T) { takeOver(t, syscall.SIGKILL, 2000) })
	t.Run("halt", func(t *testing.T) { takeOver(t, syscall.SIGSTOP, 5000) })
}

// twoCoordinators is a cluster of three workers whose coordinator reaches etcd at leaders, and
// a standby that reaches it directly. web is where the standby tells of itself.
func twoCoordinators(t *testing.T, etcd, leaders string, steps int) (c *cluster, standby *process, web string) {
	t.Helper()
	c = newClusterAt(t, "127.0.0.1", 0, "--steps", strconv.Itoa(steps), "--checkpoint-every", "500", "--workers", "3", "--etcd", leaders)
	second := "127.0.0.1:" + freePort(t)
	web = "127.0.0.1:" + freePort(t)
	authority := filepath.Join(c.dir, "data", "pki")
	args := slices.Clone(c.args)
	for i, a := range args {
		switch a {
		case "--listen":
			args[i+1] = second
		case "--http":
			args[i+1] = web
		case "--etcd":
			args[i+1] = etcd
		case "--data-dir":
			args[i+1] = filepath.Join(c.dir, "standby")
		}
	}
	standby = c.launch("standby", "ddpm-coordinator", append(args, "--standby", "--storage", filepath.Join(c.dir, "data"),
		"--ca-cert", filepath.Join(authority, "ca.crt"), "--ca-key", filepath.Join(authority, "ca.key"))...)
	t.Cleanup(func() { standby.signal(syscall.SIGKILL); <-standby.done })
	c.entry[1] += "," + second
	for range 3 {
		c.join()
	}
	s := c.until("training", limit, training(3))
	c.until("on", limit, func(now status) bool { return now.Step > s.Step+50 })
	return c, standby, web
}

// ends waits until a former leader has ended by itself.
func ends(t *testing.T, former *process) {
	t.Helper()
	select {
	case <-former.done:
		t.Logf("the former leader ended: %v", former.cmd.ProcessState)
	case <-time.After(limit):
		t.Error("the former leader has not ended")
		former.signal(syscall.SIGKILL)
		<-former.done
	}
}

func takeOver(t *testing.T, how syscall.Signal, steps int) {
	t.Helper()
	dir, port := filepath.Join(t.TempDir(), "etcd"), freePort(t)
	etcd := etcdAt(t, dir, port)
	defer etcd.Close()
	want := quiet(t, steps)
	c, standby, web := twoCoordinators(t, "127.0.0.1:"+port, "127.0.0.1:"+port, steps)
	at := time.Now()
	former := c.coordinator
	former.signal(how)
	if how == syscall.SIGKILL {
		<-former.done
	}
	c.web = web
	s := c.until("led by the standby", limit, func(s status) bool { return s.Phase == "training" && len(s.Workers) == 3 })
	t.Logf("the standby leads %s after the leader's death, in generation %d", time.Since(at), s.Generation)
	c.coordinator = standby
	if how == syscall.SIGSTOP {
		former.signal(syscall.SIGCONT)
		ends(t, former)
	}
	if got := c.finish(limit); got != want || s.Generation != 1 {
		t.Errorf("digest %s in generation %d, one quiet worker has %s", got, s.Generation, want)
	}
	gaps := c.stepGaps("worker-001")
	t.Logf("the longest time between two steps is %s, the median %s", percentile(gaps, 100), percentile(gaps, 50))
}

// TestLeaderCutFromEtcd cuts a leader from etcd, and from nothing else: its workers stay with
// it, and a standby leads. A worker dies, of which the former leader can make nothing: it lets
// the others go to the standby, though nothing mends. When etcd answers it again, it ends.
func TestLeaderCutFromEtcd(t *testing.T) {
	const steps = 6000
	port := freePort(t)
	etcd := etcdAt(t, filepath.Join(t.TempDir(), "etcd"), port)
	defer etcd.Close()
	want := quiet(t, steps)
	way := s3test.StartProxy(t, "127.0.0.1:"+port)
	c, standby, web := twoCoordinators(t, "127.0.0.1:"+port, way.Address, steps)
	former, old := c.coordinator, c.web
	way.Set(s3test.Fault{Stall: true})
	c.web = web
	c.until("led by the standby", limit, func(s status) bool { return s.Phase != "" })
	c.web = old
	if before, ok := c.status(); !ok || before.Generation != 1 || len(before.Workers) != 3 {
		t.Errorf("the former leader has %+v, %v; its workers train on with it", before, ok)
	}
	w := c.alive()[0]
	w.signal(syscall.SIGKILL)
	<-w.done
	c.web, c.coordinator = web, standby
	s := c.until("two workers with the standby", limit, training(2))
	way.Set(s3test.Fault{})
	ends(t, former)
	if got := c.finish(limit); got != want || s.Generation < 2 {
		t.Errorf("digest %s in generation %d, one quiet worker has %s", got, s.Generation, want)
	}
	gaps := c.stepGaps(c.alive0().name)
	t.Logf("the longest time between two steps is %s, the median %s", percentile(gaps, 100), percentile(gaps, 50))
}
