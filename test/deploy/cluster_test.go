package deploy

import (
	"bytes"
	"errors"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"

	"github.com/ddpm-cluster/ddpm-cluster/internal/s3test"
)

// wait bounds every wait; it is generous, since the machine may be slow.
const wait = 2 * time.Minute

// host runs services as processes. Names of services and paths of volumes become
// addresses and folders of this machine.
type host struct {
	t        *testing.T
	services composition
	bin, dir string
	values   map[string]string
	replaced *strings.Replacer
}

func newHost(t *testing.T, values map[string]string) *host {
	t.Helper()
	server := s3test.StartMinIO(t)
	values["MINIO_USER"], values["MINIO_PASSWORD"] = server.User, server.Secret
	h := &host{t: t, services: compose(t), bin: t.TempDir(), dir: t.TempDir(), values: values}
	build := exec.Command("go", "build", "-o", h.bin+string(filepath.Separator), "./cmd/...")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	port, web := freePort(t), freePort(t)
	h.replaced = strings.NewReplacer(
		"minio:9000", server.Address, "http://etcd:2379", "http://"+etcd(t),
		"coordinator:7600", "127.0.0.1:"+port, "0.0.0.0:7600", "127.0.0.1:"+port, "0.0.0.0:7601", "127.0.0.1:"+web,
		"/data", h.dir, "=/coordinator/", "="+h.dir+"/",
	)
	return h
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// etcd starts one that listens, in this process.
func etcd(t *testing.T) (address string) {
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

// command is what a service runs, or its health check.
func (h *host) command(name string, line []string) *exec.Cmd {
	h.t.Helper()
	s, ok := h.services.Services[name]
	if !ok {
		h.t.Fatalf("there is no service %s", name)
	}
	var args []string
	for _, a := range line {
		args = append(args, h.replaced.Replace(expand(a, h.values)))
	}
	c := exec.Command(filepath.Join(h.bin, args[0]), args[1:]...)
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "DDPM_LOG_FORMAT=text"}
	for k, v := range s.Environment {
		if v == "/tmp" {
			v = h.dir
		}
		c.Env = append(c.Env, k+"="+expand(v, h.values))
	}
	return c
}

// process is a service that runs.
type process struct {
	cmd    *exec.Cmd
	stdout bytes.Buffer
	log    string // the file with its standard error
	done   chan struct{}
	err    error // of Wait, once done is closed
}

func (h *host) start(name string) *process {
	h.t.Helper()
	s := h.services.Services[name]
	p := &process{cmd: h.command(name, append(append([]string{}, s.Entrypoint...), s.Command...)), done: make(chan struct{})}
	log, err := os.CreateTemp(h.t.TempDir(), name)
	if err != nil {
		h.t.Fatal(err)
	}
	p.log = log.Name()
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, log
	if err := p.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	go func() {
		p.err = errors.Join(p.cmd.Wait(), log.Close())
		close(p.done)
	}()
	h.t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		p.end(h.t)
		if h.t.Failed() {
			h.t.Logf("%s:\n%s", name, p.said(h.t))
		}
	})
	return p
}

// end waits for the process and returns its exit code.
func (p *process) end(t *testing.T) int {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(wait):
		t.Fatalf("%v does not end", p.cmd)
	}
	var exit *exec.ExitError
	if p.err != nil && !errors.As(p.err, &exit) {
		t.Fatal(p.err)
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) said(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(p.log)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// says waits until the process logs something, and tells whether it did before it
// ended.
func (p *process) says(t *testing.T, what string) bool {
	t.Helper()
	for end := time.Now().Add(wait); time.Now().Before(end); {
		if strings.Contains(p.said(t), what) {
			return true
		}
		select {
		case <-p.done:
			return strings.Contains(p.said(t), what)
		case <-time.After(50 * time.Millisecond):
		}
	}
	t.Fatalf("%v does not say %q", p.cmd, what)
	return false
}

func (p *process) stop(t *testing.T) int {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	return p.end(t)
}

// healthy waits until a service's health check is content.
func (h *host) healthy(name string) {
	h.t.Helper()
	check := h.services.Services[name].Healthcheck.Test
	if len(check) < 2 || check[0] != "CMD" {
		h.t.Fatalf("%s has the health check %q", name, check)
	}
	for end := time.Now().Add(wait); ; time.Sleep(200 * time.Millisecond) {
		out, err := h.command(name, check[1:]).CombinedOutput()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			h.t.Fatalf("%s is not healthy: %s", name, out)
		}
	}
}

var digest = regexp.MustCompile(`digest (sha256:[0-9a-f]{64})`)

func digestIn(t *testing.T, text string) string {
	t.Helper()
	m := digest.FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("there is no digest in %q", text)
	}
	return m[1]
}

// Everything of compose.yaml runs as it is written; workers come and go and the
// coordinator is replaced, and the weights are those of one worker alone.
func TestComposeRuns(t *testing.T) {
	h := newHost(t, map[string]string{"DDPM_PRESET": "tiny", "DDPM_STEPS": "300", "DDPM_WORKERS": "2"})
	quiet := exec.Command(filepath.Join(h.bin, "ddpm-coordinator"), "--local", "--workers=1", "--preset=tiny", "--steps=300", "--data-dir="+t.TempDir())
	out, err := quiet.Output()
	if err != nil {
		t.Fatal(err)
	}
	want := digestIn(t, string(out))

	if code := h.start("bucket").end(t); code != 0 {
		t.Fatalf("bucket ends with %d", code)
	}
	if code := h.start("bucket").end(t); code != 0 {
		t.Fatalf("bucket ends with %d where there is one", code)
	}
	coordinator := h.start("coordinator")
	h.healthy("coordinator")
	replicas := h.services.Services["worker"].Deploy.Replicas
	var workers []*process
	for range replicas {
		workers = append(workers, h.start("worker"))
	}
	sampler := h.start("sampler")
	for _, w := range workers {
		w.says(t, "msg=assigned")
	}
	sampler.says(t, "in the sampling pool")
	// Another image: the coordinator is stopped and started, the workers stay.
	if code := coordinator.stop(t); code != 130 && code != 0 {
		t.Errorf("the coordinator ends with %d when it is stopped", code)
	}
	coordinator = h.start("coordinator")
	h.healthy("coordinator")
	found := workers[0].says(t, "a coordinator is there again")
	workers = append(workers, h.start("worker")) // --scale worker=3
	joined := workers[replicas].says(t, "msg=assigned")
	t.Logf("the workers found the other coordinator while they trained: %v; another joined: %v", found, joined)
	if code := workers[0].stop(t); code != 0 { // --scale worker=2
		t.Errorf("the worker that leaves ends with %d", code)
	}
	if code := coordinator.end(t); code != 0 {
		t.Fatalf("the run ends with %d", code)
	}
	if got := digestIn(t, coordinator.stdout.String()); got != want {
		t.Errorf("digest %s, alone it is %s", got, want)
	}
	for _, w := range workers[1:] {
		w.end(t)
	}
	if code := sampler.stop(t); code != 0 {
		t.Errorf("the sampler ends with %d when it is stopped", code)
	}
}
