package membership

import (
	"context"
	"encoding/pem"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/ddpm-cluster/ddpm-cluster/internal/pki"
	"github.com/ddpm-cluster/ddpm-cluster/internal/token"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// office lets everybody in who has its token, after some refusals.
type office struct {
	ddpmv1.UnimplementedJoinServer
	ddpmv1.UnimplementedRenewalServer
	ca     *pki.CA
	token  string
	age    time.Duration // of the certificates that Join gives
	busy   atomic.Int32  // how many it still sends away
	errors codes.Code    // with which
	joined atomic.Int32
}

func (o *office) certificate(request []byte, name string, made time.Time) (*ddpmv1.Certificate, error) {
	der, err := o.ca.Sign(request, pki.Leaf{Role: pki.Worker, Name: name, Life: time.Hour}, made)
	return &ddpmv1.Certificate{Certificate: der, Authority: o.ca.Certificate().Raw}, err
}

func (o *office) Join(_ context.Context, r *ddpmv1.JoinRequest) (*ddpmv1.JoinResponse, error) {
	if o.busy.Add(-1) >= 0 {
		return nil, status.Error(o.errors, "come again")
	}
	if r.GetToken() != o.token {
		return nil, status.Error(codes.Unauthenticated, "a wrong token")
	}
	o.joined.Add(1)
	c, err := o.certificate(r.GetRequest(), "w-1", time.Now().Add(-o.age))
	return &ddpmv1.JoinResponse{Certificate: c}, err
}

func (o *office) Renew(ctx context.Context, r *ddpmv1.RenewRequest) (*ddpmv1.RenewResponse, error) {
	id, err := pki.PeerFrom(ctx)
	if err != nil {
		return nil, err
	}
	c, err := o.certificate(r.GetRequest(), id.Name, time.Now())
	return &ddpmv1.RenewResponse{Certificate: c}, err
}

func newOffice(t *testing.T) *office {
	t.Helper()
	ca, err := pki.NewCA(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return &office{ca: ca, token: token.New().Reveal()}
}

// serve serves until the test's end and returns the address.
func serve(t *testing.T, register func(*grpc.Server), options ...grpc.ServerOption) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer(append(options, grpc.WaitForHandlers(true))...)
	register(g)
	var group sync.WaitGroup
	group.Go(func() { _ = g.Serve(l) })
	t.Cleanup(func() {
		g.Stop()
		group.Wait()
	})
	return l.Addr().String()
}

func (o *office) open(t *testing.T) string {
	t.Helper()
	c, err := o.ca.Issue(pki.Leaf{Role: pki.Coordinator, Name: "c", Life: time.Hour}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, func(g *grpc.Server) {
		ddpmv1.RegisterJoinServer(g, o)
		ddpmv1.RegisterRenewalServer(g, o)
	}, grpc.Creds(credentials.NewTLS(pki.NewSource(c).Server(true, pki.Worker))))
}

func (o *office) settings() Settings { return Settings{Token: o.token, CAHash: o.ca.Hash()} }

var quiet = slog.New(slog.DiscardHandler)

// A worker gets in when the coordinator has time, also at the second address, and
// renews its certificate before it expires.
func TestJoinAndRenew(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.errors, o.age = codes.Unavailable, 50*time.Minute // due, and valid for ten minutes yet
	o.busy.Store(2)
	addresses := []string{free(t), o.open(t)}
	m, err := Join(t.Context(), o.settings(), addresses, 20*time.Second, quiet)
	if err != nil {
		t.Fatal(err)
	}
	first := m.source.Current()
	if id := first.Identity(); id.Name != "w-1" || id.Role != pki.Worker || o.joined.Load() != 1 {
		t.Errorf("it is %s", id)
	}
	stop := m.Keep(t.Context(), addresses, quiet)
	defer stop()
	for until := time.Now().Add(20 * time.Second); m.source.Current() == first; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("the certificate is not renewed")
		}
	}
	if !m.source.Current().Expires().After(first.Expires()) {
		t.Error("the renewed certificate is valid for no longer")
	}
}

// free is an address where nobody listens.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// What trying again can't mend is told at once.
func TestRefusedForGood(t *testing.T) {
	t.Parallel()
	o, other := newOffice(t), newOffice(t)
	address := o.open(t)
	plain := serve(t, func(g *grpc.Server) { ddpmv1.RegisterJoinServer(g, o) })
	for _, v := range []struct {
		name, address string
		settings      Settings
		want          string
	}{
		{"a wrong token", address, Settings{Token: other.token, CAHash: o.ca.Hash()}, "a wrong token"},
		{"another authority", address, Settings{Token: o.token, CAHash: other.ca.Hash()}, "--ca-hash"},
		{"no TLS", plain, o.settings(), "does not speak TLS"},
	} {
		m, err := Join(t.Context(), v.settings, []string{v.address}, time.Hour, quiet)
		if err == nil || m != nil || !strings.Contains(err.Error(), v.want) || strings.Contains(err.Error(), o.token) {
			t.Errorf("%s: %v, want %q", v.name, err, v.want)
		}
	}
	if o.joined.Load() != 0 {
		t.Error("it was let in")
	}
}

// Who takes the connection and says nothing is waited for longer, but no shorter than the
// user wants.
func TestLimit(t *testing.T) {
	for _, v := range []struct {
		patience time.Duration
		taken    bool
		want     time.Duration
	}{
		{15 * time.Second, false, 15 * time.Second},
		{time.Second, true, 8 * time.Second},
		{15 * time.Second, true, 2 * time.Minute},
		{10 * time.Minute, true, 10 * time.Minute},
	} {
		if got := Limit(v.patience, v.taken); got != v.want {
			t.Errorf("%v, taken %v: %v, want %v", v.patience, v.taken, got, v.want)
		}
	}
}

func TestNobodyAnswers(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	if _, err := Join(t.Context(), o.settings(), []string{free(t)}, 50*time.Millisecond, quiet); err == nil || !strings.Contains(err.Error(), "no coordinator answers") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Join(ctx, o.settings(), []string{free(t)}, time.Hour, quiet); !errors.Is(err, ErrInterrupted) {
		t.Errorf("%v", err)
	}
	if m, err := Join(t.Context(), Settings{Insecure: true}, nil, 0, quiet); m != nil || err != nil {
		t.Errorf("without TLS: %v, %v", m, err)
	}
}

// as makes a member with a certificate of an authority.
func as(t *testing.T, ca *pki.CA, role pki.Role, name string) *Member {
	t.Helper()
	c, err := ca.Issue(pki.Leaf{Role: role, Name: name, Life: time.Hour}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return newMember(pki.NewSource(c))
}

// Workers reach each other when both are members of the same generation, and only
// whom they mean.
func TestGenerations(t *testing.T) {
	t.Parallel()
	ca, foreign := newOffice(t).ca, newOffice(t).ca
	server := as(t, ca, pki.Worker, "w-1")
	server.hold = 100 * time.Millisecond
	address := serve(t, func(g *grpc.Server) { healthv1.RegisterHealthServer(g, health.NewServer()) }, server.ServerOptions()...)
	call := func(c credentials.TransportCredentials) codes.Code {
		conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(c))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, err = healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{})
		if err != nil {
			return status.Code(err)
		}
		s, err := healthv1.NewHealthClient(conn).Watch(t.Context(), &healthv1.HealthCheckRequest{})
		if err == nil {
			_, err = s.Recv()
		}
		return status.Code(err)
	}
	second := as(t, ca, pki.Worker, "w-2")
	if c := call(second.Worker("w-1")); c != codes.PermissionDenied {
		t.Errorf("before there is a generation: %s", c)
	}
	server.hold = time.Minute
	early := make(chan codes.Code, 1)
	go func() { early <- call(second.Worker("w-1")) }()
	server.Admit([]string{"w-1", "w-2"})
	if c := <-early; c != codes.OK {
		t.Errorf("who heard of the generation first: %s", c)
	}
	for _, v := range []struct {
		name string
		c    credentials.TransportCredentials
	}{
		{"who means another", second.Worker("w-3")},
		{"who means the coordinator", second.Coordinator()},
		{"an administrator", as(t, ca, pki.Admin, "w-2").Worker("w-1")},
		{"another cluster's member", as(t, foreign, pki.Worker, "w-2").Worker("w-1")},
		{"nobody", credentials.NewTLS(pki.Introduction(ca.Hash()))},
		{"who has no TLS", (*Member)(nil).Worker("w-1")},
	} {
		if c := call(v.c); c != codes.Unavailable {
			t.Errorf("%s: %s", v.name, c)
		}
	}
	server.Admit([]string{"w-1"})
	server.hold = 100 * time.Millisecond
	if c := call(second.Worker("w-1")); c != codes.PermissionDenied {
		t.Errorf("who is a member no more: %s", c)
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	good, hash := token.New().Reveal(), o.ca.Hash()
	authority := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: o.ca.Certificate().Raw}), 0o644); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(good+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	environment := map[string]string{TokenVariable: good, CAHashVariable: hash}
	for _, v := range []struct {
		name string
		s    Settings
		env  map[string]string
		want string
	}{
		{"by flags", Settings{Token: good, CAHash: hash}, nil, ""},
		{"by a file", Settings{TokenFile: file, CAHash: hash}, nil, ""},
		{"by the environment", Settings{}, environment, ""},
		{"by the authority", Settings{Token: good, CACert: authority}, nil, ""},
		{"the hash twice", Settings{Token: good, CACert: authority, CAHash: hash}, nil, "one of them"},
		{"an authority of something else", Settings{Token: good, CACert: file}, nil, "--ca-cert"},
		{"a flag wins", Settings{Token: good, CAHash: hash}, map[string]string{TokenVariable: "x", CAHashVariable: "x"}, ""},
		{"both", Settings{Token: good, TokenFile: file, CAHash: hash}, nil, "one of them"},
		{"a file of something else", Settings{TokenFile: os.Args[0], CAHash: hash}, nil, "no token"},
		{"nothing", Settings{}, nil, "--token is missing"},
	} {
		err := v.s.Resolve(func(name string) string { return v.env[name] }, "h:1")
		if v.want == "" && (err != nil || v.s.Token != good || v.s.CAHash != hash) || v.want != "" && (err == nil || !strings.Contains(err.Error(), v.want)) {
			t.Errorf("%s: %v, want %q", v.name, err, v.want)
		}
	}
	for address, want := range map[string]bool{"localhost": true, "127.0.0.1:1": true, "[::1]:1": true, "127.8.8.8": true, "::1": true, "0.0.0.0:1": false, "192.0.2.1": false, "localhost.example:1": false, "": false} {
		if Loopback(address) != want {
			t.Errorf("%s: %v", address, !want)
		}
	}
}
