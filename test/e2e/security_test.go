package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/access"
	"github.com/ddpm-cluster/ddpm-cluster/internal/pki"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// background is a coordinator that runs while a test looks at it.
type background struct {
	t     *testing.T
	cmd   *exec.Cmd
	dir   string
	lines chan string // of its standard error
	log   []string
}

// start starts a coordinator on the tiny preset that trains for longer than a test
// takes.
func start(t *testing.T, args ...string) *background {
	t.Helper()
	b := &background{t: t, dir: t.TempDir(), lines: make(chan string, 1000)}
	b.cmd = prepare(t, nil, "ddpm-coordinator", append([]string{"--preset", "tiny", "--data-dir", b.dir, "--steps", "1000000"}, args...)...)
	pipe, err := b.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(b.lines)
		for s := bufio.NewScanner(pipe); s.Scan(); {
			b.lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		_ = b.cmd.Process.Signal(syscall.SIGTERM)
		_ = b.cmd.Process.Signal(syscall.SIGTERM)
		for line := range b.lines {
			b.log = append(b.log, line)
		}
		_ = b.cmd.Wait()
		if t.Failed() {
			t.Logf("the coordinator's log:\n%s", strings.Join(b.log, "\n"))
		}
	})
	return b
}

// line waits for one that matches.
func (b *background) line(pattern *regexp.Regexp) string {
	b.t.Helper()
	for line := range b.lines {
		b.log = append(b.log, line)
		if pattern.MatchString(line) {
			return line
		}
	}
	b.t.Fatalf("no line like %s", pattern)
	return ""
}

// token calls ddpmctl token as the coordinator's administrator.
func (b *background) token(args ...string) result {
	b.t.Helper()
	return run(b.t, []string{"DDPM_ADMIN=" + filepath.Join(b.dir, "admin.conf")}, "ddpmctl", append([]string{"token"}, args...)...)
}

// dial connects and says what a health check is answered.
func dial(t *testing.T, address string, c credentials.TransportCredentials) (*grpc.ClientConn, error) {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(c), grpc.WithNoProxy())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err = healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{})
	return conn, err
}

func anonymous() credentials.TransportCredentials {
	return credentials.NewTLS(&tls.Config{InsecureSkipVerify: true})
}

// No port of a default cluster answers without a certificate, health and join at
// the coordinator's excepted.
func TestPortScan(t *testing.T) {
	t.Parallel()
	b := start(t, "--local", "--workers", "3", "-v")
	b.line(regexp.MustCompile(`a generation`))
	admin, err := access.ReadAdmin(filepath.Join(b.dir, "admin.conf"))
	if err != nil {
		t.Fatal(err)
	}
	ports := listening(t, b.cmd.Process.Pid)
	if len(ports) != 4 {
		t.Errorf("the processes listen at %v; want the coordinator's port and one of each of 3 workers", ports)
	}
	worker := workerOf(t, b.dir)
	for _, port := range ports {
		coordinator := port == admin.Server
		conn, err := dial(t, port, anonymous())
		if coordinator != (err == nil) {
			t.Errorf("%s: health without a certificate: %v", port, err)
		}
		if _, err := dial(t, port, insecure.NewCredentials()); err == nil {
			t.Errorf("%s answers without TLS", port)
		}
		if answer, err := (&http.Client{Timeout: 5 * time.Second}).Get("http://" + port + "/"); err == nil {
			_ = answer.Body.Close()
			t.Errorf("%s answers HTTP with %s", port, answer.Status)
		}
		for _, method := range []string{"/ddpm.v1.Coordinator/Session", "/ddpm.v1.Ring/Link", "/ddpm.v1.Tokens/ListTokens", "/ddpm.v1.Renewal/Renew", "/etcdserverpb.KV/Range"} {
			err := conn.Invoke(t.Context(), method, &ddpmv1.RenewRequest{}, &ddpmv1.RenewResponse{})
			if want := map[bool]codes.Code{true: codes.Unauthenticated, false: codes.Unavailable}[coordinator]; status.Code(err) != want {
				t.Errorf("%s: %s without a certificate: %v, want %s", port, method, err, want)
			}
		}
		if coordinator {
			continue
		}
		// A certificate of the cluster is not enough: the holder must be a member.
		conn, err = dial(t, port, credentials.NewTLS(worker.Client(pki.Coordinator, "")))
		if err == nil {
			t.Errorf("%s, a worker, answers as a coordinator: %v", port, conn.Target())
		}
		if _, err := dial(t, port, credentials.NewTLS(admin.Credential.Client(pki.Worker, ""))); err == nil {
			t.Errorf("%s lets an administrator into the ring", port)
		}
	}
	// A worker's certificate is refused on the admin API.
	conn, err := dial(t, admin.Server, credentials.NewTLS(worker.Client(pki.Coordinator, "")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ddpmv1.NewTokensClient(conn).ListTokens(t.Context(), &ddpmv1.ListTokensRequest{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a worker lists tokens: %v", err)
	}
}

// workerOf makes a worker's certificate by the authority in a data dir.
func workerOf(t *testing.T, dir string) *pki.Source {
	t.Helper()
	ca, err := pki.OpenCA(filepath.Join(dir, "pki"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c, err := ca.Issue(pki.Leaf{Role: pki.Worker, Name: "w-stranger", Life: time.Hour}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return pki.NewSource(c)
}

// listening lists where a process and its children listen, from /proc.
func listening(t *testing.T, pid int) []string {
	t.Helper()
	var ports []string
	processes, err := childrenOf(pid)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range append(processes, pid) {
		sockets := map[string]bool{}
		fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", p))
		if err != nil || len(fds) == 0 {
			t.Skipf("this system has no /proc to look for ports in: %v", err)
		}
		for _, fd := range fds {
			if to, err := os.Readlink(fd); err == nil {
				sockets[strings.TrimSuffix(strings.TrimPrefix(to, "socket:["), "]")] = true
			}
		}
		for _, table := range []string{"tcp", "tcp6"} {
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", p, table))
			if err != nil {
				continue
			}
			for _, row := range strings.Split(string(text), "\n") {
				f := strings.Fields(row)
				if len(f) < 10 || f[3] != "0A" || !sockets[f[9]] { // 0A is LISTEN
					continue
				}
				port, err := strconv.ParseUint(f[1][strings.LastIndexByte(f[1], ':')+1:], 16, 16)
				if err != nil {
					t.Fatal(err)
				}
				ports = append(ports, net.JoinHostPort("127.0.0.1", strconv.FormatUint(port, 10)))
			}
		}
	}
	return ports
}

// What a worker must show to be let in, seen from its command line.
func TestWhoIsLetIn(t *testing.T) {
	t.Parallel()
	b := start(t, "--workers", "9", "--listen", "127.0.0.1:0")
	flags := joinFlags(b.line(joinLine))
	address, tokenPath, hash := flags[1], flags[3], flags[5]
	other := start(t, "--workers", "9", "--listen", "127.0.0.1:0")
	theirs := joinFlags(other.line(joinLine))
	var made struct {
		Token, ID string
		CAHash    string `json:"ca_hash"`
	}
	r := b.token("create", "--ttl", "1h", "--json")
	if err := json.Unmarshal([]byte(r.stdout), &made); err != nil || made.CAHash != hash {
		t.Fatalf("%+v: %v", r, err)
	}
	if r := b.token("revoke", made.ID); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	if r := b.token("list"); !regexp.MustCompile(made.ID + ` +revoked`).MatchString(r.stdout) {
		t.Errorf("%+v", r)
	}
	short := b.token("create", "--ttl", "1s")
	time.Sleep(1100 * time.Millisecond)
	for _, v := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"no token", []string{"--join", address, "--ca-hash", hash}, 2, "--token is missing"},
		{"no hash", []string{"--join", address, "--token-file", tokenPath}, 2, "--ca-hash is missing"},
		{"a wrong token", []string{"--join", address, "--token", "abc123.abcdefghijklmnopqrstuvwxyz", "--ca-hash", hash}, 1, "the token is wrong"},
		{"a revoked token", []string{"--join", address, "--token", made.Token, "--ca-hash", hash}, 1, "revoked"},
		{"an expired token", strings.Fields(short.stdout)[1:], 1, "expired"},
		{"another cluster's token", []string{"--join", address, "--token-file", theirs[3], "--ca-hash", hash}, 1, "the token is wrong"},
		{"another cluster's hash", []string{"--join", address, "--token-file", tokenPath, "--ca-hash", theirs[5]}, 1, "--ca-hash"},
		{"without TLS elsewhere", []string{"--join", "192.0.2.1:7600", "--insecure"}, 2, "this machine alone"},
	} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			r := run(t, []string{"DDPM_TOKEN=", "DDPM_CA_HASH="}, "ddpm-worker", v.args...)
			if r.code != v.code || !strings.Contains(r.complaint(), v.want) {
				t.Errorf("exit code %d, want %d and %q:\n%s", r.code, v.code, v.want, r.stderr)
			}
		})
	}
	if r := run(t, nil, "ddpm-coordinator", "--workers", "1", "--insecure", "--listen", "0.0.0.0:0"); r.code != 2 || !strings.Contains(r.stderr, "this machine alone") {
		t.Errorf("--insecure for everybody: %+v", r)
	}
	if r := run(t, nil, "ddpmctl", "token", "list", "--config", filepath.Join(b.dir, "none.conf")); r.code != 1 || !strings.Contains(r.stderr, "admin.conf") {
		t.Errorf("no admin.conf: %+v", r)
	}
}

// Nothing that a cluster writes to its logs has the secret of a token.
func TestSecretsAreNotLogged(t *testing.T) {
	t.Parallel()
	var secret string
	dir := t.TempDir()
	var worker result
	r := follow(t, once(func(_ int, line string) {
		text, err := os.ReadFile(filepath.Join(dir, "token"))
		if err != nil {
			t.Error(err)
		}
		_, secret, _ = strings.Cut(strings.TrimSpace(string(text)), ".")
		worker = run(t, []string{"DDPM_TOKEN=" + strings.TrimSpace(string(text))}, "ddpm-worker",
			"--join", joinFlags(line)[1], "--ca-hash", joinFlags(line)[5], "--threads", "1", "-v")
	}, "ddpm-worker --join"), "--preset", "tiny", "--data-dir", dir, "--steps", "2", "--workers", "1", "--listen", "127.0.0.1:0", "-v")
	r.lastLine(t)
	if secret == "" || worker.code != 0 || strings.Contains(r.stderr+r.stdout+worker.stderr+worker.stdout, secret) {
		t.Errorf("the secret %q is in what they print:\n%s\n%s", secret, r.stderr, worker.stderr)
	}
}

// Without TLS, on loopback, the bits are the same.
func TestInsecure(t *testing.T) {
	t.Parallel()
	_, want := train(t, t.TempDir(), "--steps", "3", "--workers", "1").lastLine(t)
	if _, got := train(t, t.TempDir(), "--steps", "3", "--workers", "2", "--insecure").lastLine(t); got != want {
		t.Errorf("digest %s, over TLS %s", got, want)
	}
}
