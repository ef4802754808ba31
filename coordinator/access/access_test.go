package access

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/ddpm-cluster/ddpm-cluster/internal/pki"
	"github.com/ddpm-cluster/ddpm-cluster/internal/token"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// From a token to a session, to the token's end.
func TestJoin(t *testing.T) {
	t.Parallel()
	h := build(t)
	admin := h.admin()
	made, err := admin.CreateToken(t.Context(), &ddpmv1.CreateTokenRequest{TtlSeconds: 60, Description: "for a test"})
	if err != nil || made.GetCaHash() != h.ca.Hash() {
		t.Fatalf("%v, %v", made, err)
	}
	worker, err := h.join(made.GetToken())
	if err != nil {
		t.Fatal(err)
	}
	conn := h.as(worker.Client(pki.Coordinator, ""))
	if name, err := session(t, conn); err != nil || name != worker.Current().Identity().Name || !strings.HasPrefix(name, "w-") {
		t.Errorf("the session is of %q, %v", name, err)
	}
	key, csr := request(t)
	renewed, err := ddpmv1.NewRenewalClient(conn).Renew(t.Context(), &ddpmv1.RenewRequest{Request: csr})
	if err != nil {
		t.Fatal(err)
	}
	c, err := pki.NewCredential(renewed.GetCertificate().GetCertificate(), renewed.GetCertificate().GetAuthority(), key)
	if err != nil || worker.Set(c) != nil {
		t.Errorf("the renewed certificate is %+v, %v", c, err)
	}
	list, err := admin.ListTokens(t.Context(), &ddpmv1.ListTokensRequest{})
	if err != nil || len(list.GetTokens()) != 1 || list.GetTokens()[0].GetDescription() != "for a test" {
		t.Errorf("%v, %v", list, err)
	}
	id := made.GetRecord().GetId()
	if _, err := admin.RevokeToken(t.Context(), &ddpmv1.RevokeTokenRequest{Id: id}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.join(made.GetToken()); status.Code(err) != codes.Unauthenticated || !strings.Contains(err.Error(), "revoked") {
		t.Errorf("by a revoked token: %v", err)
	}
	if _, err := ddpmv1.NewRenewalClient(conn).Renew(t.Context(), &ddpmv1.RenewRequest{Request: csr}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("renewed by a revoked token: %v", err)
	}
	if _, err := session(t, conn); status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "revoked") {
		t.Errorf("a session by a revoked token: %v", err)
	}
	if _, err := ddpmv1.NewPoolClient(conn).TakeTask(t.Context(), &ddpmv1.TakeTaskRequest{}); status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "revoked") {
		t.Errorf("a sampling task by a revoked token: %v", err)
	}
	if _, secret, _ := strings.Cut(made.GetToken(), "."); strings.Contains(h.log.String(), secret) || !strings.Contains(h.log.String(), id) {
		t.Errorf("the log: %s", h.log)
	}
	if c := h.door.Counts(); c.Joined != 1 || c.Renewed != 1 || c.Refused < 2 {
		t.Errorf("counted: %+v", c)
	}
}

func TestTokensThatDoNotLetIn(t *testing.T) {
	t.Parallel()
	h := build(t)
	expired, _, err := create(t.Context(), h.tokens, -time.Second, "")
	if err != nil {
		t.Fatal(err)
	}
	good, _, err := create(t.Context(), h.tokens, time.Hour, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []struct {
		name, token, want string
	}{
		{"none", "", "not a token"},
		{"nonsense", "correct-horse-battery-staple", "not a token"},
		{"another secret", token.NewFor(good.ID()).Reveal(), "wrong"},
		{"an unknown id", token.New().Reveal(), "wrong"},
		{"the local id", token.NewFor(localID).Reveal(), "wrong"},
		{"an expired one", expired.Reveal(), "expired"},
		{"too long", strings.Repeat("a", maxStrange), "larger than max"},
	} {
		_, err := h.join(v.token)
		if c := status.Code(err); c != codes.Unauthenticated && c != codes.ResourceExhausted || !strings.Contains(err.Error(), v.want) {
			t.Errorf("%s: %v, want %q", v.name, err, v.want)
		}
		if len(v.token) > 7 && strings.Contains(h.log.String(), v.token[7:]) {
			t.Errorf("%s: logged: %s", v.name, h.log)
		}
	}
	_, err = ddpmv1.NewJoinClient(h.stranger()).Join(t.Context(), &ddpmv1.JoinRequest{Token: good.Reveal(), Request: []byte("x")})
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("a malformed request: %v", err)
	}
	if _, err := h.join(h.door.LocalToken()); err != nil {
		t.Errorf("the coordinator's own worker: %v", err)
	}
	h.tokens.mu.Lock()
	h.tokens.lost = errors.New("etcd is away")
	h.tokens.mu.Unlock()
	if _, err := h.join(good.Reveal()); status.Code(err) != codes.Unavailable {
		t.Errorf("without etcd: %v", err)
	}
}

// Every role reaches what is for it, and nothing else.
func TestRoles(t *testing.T) {
	t.Parallel()
	h := build(t)
	now, other := time.Now(), newCA(t)
	plain := &tls.Config{InsecureSkipVerify: true}
	call := map[string]func(*grpc.ClientConn) error{
		"health": func(c *grpc.ClientConn) error {
			_, err := healthv1.NewHealthClient(c).Check(t.Context(), &healthv1.HealthCheckRequest{})
			return err
		},
		"join": func(c *grpc.ClientConn) error {
			_, csr := request(t)
			_, err := ddpmv1.NewJoinClient(c).Join(t.Context(), &ddpmv1.JoinRequest{Token: h.door.LocalToken(), Request: csr})
			return err
		},
		"session": func(c *grpc.ClientConn) error { _, err := session(t, c); return err },
		"renew": func(c *grpc.ClientConn) error {
			_, csr := request(t)
			_, err := ddpmv1.NewRenewalClient(c).Renew(t.Context(), &ddpmv1.RenewRequest{Request: csr})
			return err
		},
		"tokens": func(c *grpc.ClientConn) error {
			_, err := ddpmv1.NewTokensClient(c).ListTokens(t.Context(), &ddpmv1.ListTokensRequest{})
			return err
		},
		"status": func(c *grpc.ClientConn) error {
			stream, err := ddpmv1.NewStatusClient(c).WatchStatus(t.Context(), &ddpmv1.WatchStatusRequest{})
			if err == nil {
				_, err = stream.Recv()
			}
			return err
		},
		"unknown": func(c *grpc.ClientConn) error {
			return c.Invoke(t.Context(), "/ddpm.v1.Later/Do", &ddpmv1.RenewRequest{}, &ddpmv1.RenewResponse{})
		},
	}
	const ok, no, denied, missing, away = codes.OK, codes.Unauthenticated, codes.PermissionDenied, codes.Unimplemented, codes.Unavailable
	for _, v := range []struct {
		who  string
		conn *grpc.ClientConn
		want map[string]codes.Code
	}{
		{"a stranger", h.stranger(), map[string]codes.Code{"health": ok, "join": ok, "session": no, "renew": no, "tokens": no, "status": no, "unknown": no}},
		{"who verifies nothing", h.as(plain), map[string]codes.Code{"health": ok, "session": no, "tokens": no}},
		{"a worker", h.as(h.holder(h.ca, pki.Worker, "w1", now).Client(pki.Coordinator, "")), map[string]codes.Code{"health": ok, "session": ok, "renew": ok, "tokens": denied, "status": denied, "unknown": missing, "join": missing}},
		{"an administrator", h.as(h.holder(h.ca, pki.Admin, "a", now).Client(pki.Coordinator, "")), map[string]codes.Code{"health": ok, "session": denied, "renew": denied, "tokens": ok, "status": ok, "unknown": missing}},
		{"a coordinator", h.as(h.holder(h.ca, pki.Coordinator, "c", now).Client(pki.Coordinator, "")), map[string]codes.Code{"health": away, "session": away, "tokens": away}},
		{"an expired worker", h.as(h.holder(h.ca, pki.Worker, "w1", now.Add(-2*time.Hour)).Client(pki.Coordinator, "")), map[string]codes.Code{"health": away, "session": away}},
		{"an expired administrator", h.as(h.holder(h.ca, pki.Admin, "a", now.Add(-2*time.Hour)).Client(pki.Coordinator, "")), map[string]codes.Code{"tokens": away}},
		{"another cluster's administrator", h.as(shows(t, h.holder(other, pki.Admin, "a", now))), map[string]codes.Code{"health": away, "tokens": away}},
		{"another cluster's worker", h.as(shows(t, h.holder(other, pki.Worker, "w1", now))), map[string]codes.Code{"session": away}},
	} {
		for name, want := range v.want {
			if err := call[name](v.conn); status.Code(err) != want {
				t.Errorf("%s calls %s: %v, want %s", v.who, name, err, want)
			}
		}
	}
	clear, err := grpc.NewClient(h.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer clear.Close()
	if err := call["health"](clear); status.Code(err) != codes.Unavailable {
		t.Errorf("without TLS: %v", err)
	}
}

// shows shows a certificate to whoever asks, and verifies nothing.
func shows(t *testing.T, s *pki.Source) *tls.Config {
	t.Helper()
	c, err := s.Client(pki.Coordinator, "").GetClientCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{InsecureSkipVerify: true, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c, nil }}
}

// Who talks something else, or nothing, is sent away and harms nobody.
func TestNoise(t *testing.T) {
	t.Parallel()
	h := build(t)
	for _, noise := range []string{"GET / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", strings.Repeat("\x16\x03\x01\xff\xff", 1000)} {
		c, err := net.Dial("tcp", h.address)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(2 * handshakeLimit))
		_, _ = c.Write([]byte(noise)) // may be cut off already
		if n, err := c.Read(make([]byte, 4096)); n > 7 || err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%.20q: %d bytes, %v", noise, n, err)
		}
		_ = c.Close()
	}
	member := h.holder(h.ca, pki.Worker, "w1", time.Now())
	for _, c := range []*tls.Config{pki.Introduction(h.ca.Hash()), member.Client(pki.Coordinator, "")} {
		for _, noise := range []string{
			"GET / HTTP/1.1\r\n\r\n",
			"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00" + strings.Repeat("\xff\xff\xff\x01\x04\x00\x00\x00\x01", 100),
		} {
			c := c.Clone()
			c.NextProtos = []string{"h2"}
			conn, err := tls.Dial("tcp", h.address, c)
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.SetDeadline(time.Now().Add(wait))
			_, _ = conn.Write([]byte(noise)) // may be cut off already
			if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%.20q is listened to", noise)
			}
			_ = conn.Close()
		}
	}
	if _, err := h.join(h.door.LocalToken()); err != nil {
		t.Error(err)
	}
	if _, err := session(t, h.as(member.Client(pki.Coordinator, ""))); err != nil {
		t.Error(err)
	}
}

// An administrator's mistakes are told, too.
func TestRequestsThatAreTooMuch(t *testing.T) {
	t.Parallel()
	admin := build(t).admin()
	for want, r := range map[codes.Code]*ddpmv1.CreateTokenRequest{
		codes.InvalidArgument:   {TtlSeconds: 1 << 63},
		codes.ResourceExhausted: {Description: strings.Repeat("x", 8<<20)},
	} {
		if _, err := admin.CreateToken(t.Context(), r); status.Code(err) != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, err := admin.CreateToken(t.Context(), &ddpmv1.CreateTokenRequest{Description: strings.Repeat("x", maxDescription+1)}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a long description: %v", err)
	}
	for id, want := range map[string]codes.Code{"": codes.InvalidArgument, "../../id": codes.InvalidArgument, "abcdef": codes.NotFound} {
		if _, err := admin.RevokeToken(t.Context(), &ddpmv1.RevokeTokenRequest{Id: id}); status.Code(err) != want {
			t.Errorf("revoke %q: %v, want %s", id, err, want)
		}
	}
}

func TestJoinsAreLimited(t *testing.T) {
	t.Parallel()
	d, _ := newDoor(t, newCA(t), new(log))
	at := func(host string) codes.Code {
		ctx := peer.NewContext(t.Context(), &peer.Peer{Addr: &net.TCPAddr{IP: net.ParseIP(host), Port: 1}})
		_, err := joining{d: d}.Join(ctx, &ddpmv1.JoinRequest{Token: "x"})
		return status.Code(err)
	}
	limited := 0
	for range 2 * hostBurst {
		if at("192.0.2.1") == codes.ResourceExhausted {
			limited++
		}
	}
	if limited == 0 || limited > hostBurst {
		t.Errorf("%d of %d were limited", limited, 2*hostBurst)
	}
	if c := at("192.0.2.2"); c != codes.Unauthenticated {
		t.Errorf("another host: %s", c)
	}
	for i := range 3 * maxHosts {
		d.joins.host(string(rune(i)))
	}
	if n := len(d.joins.hosts); n > maxHosts {
		t.Errorf("%d hosts are kept", n)
	}
}

func TestDefaultToken(t *testing.T) {
	t.Parallel()
	d, tokens := newDoor(t, newCA(t), new(log))
	path := filepath.Join(t.TempDir(), "token")
	first, err := d.DefaultToken(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if again, err := d.DefaultToken(t.Context(), path); err != nil || again != first {
		t.Errorf("another token though the first is good, %v", err)
	}
	if err := tokens.Revoke(t.Context(), first[:6]); err != nil {
		t.Fatal(err)
	}
	if again, err := d.DefaultToken(t.Context(), path); err != nil || again == first {
		t.Errorf("a revoked token is kept, %v", err)
	}
}

// A token that somebody else keeps lets machines in over all starts, until it is
// revoked.
func TestGivenToken(t *testing.T) {
	t.Parallel()
	said := new(log)
	d, tokens := newDoor(t, newCA(t), said)
	path := filepath.Join(t.TempDir(), "token")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const given = "abc123.abcdefghijklmnopqrstuvwxyz"
	write(given + "\n")
	for range 2 {
		if got, err := d.GivenToken(t.Context(), path); err != nil || got != given {
			t.Errorf("%q, %v", got, err)
		}
	}
	if k, err := tokens.Find(t.Context(), "abc123"); err != nil || strings.Contains(fmt.Sprint(k), given[7:]) || time.Until(k.Expires) < 24*time.Hour {
		t.Errorf("it is kept as %v, %v", k, err)
	}
	if err := tokens.Revoke(t.Context(), "abc123"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.GivenToken(t.Context(), path); err != nil || !strings.Contains(said.String(), "lets nobody in any more") {
		t.Errorf("a revoked one: %v, and the log says %q", err, said)
	}
	for text, want := range map[string]string{
		"abc123.abcdefghijklmnopqrstuvwxy0": "another token has the id abc123",
		"no token":                          "not a token",
		strings.Repeat("x", 2000):           "2000 bytes",
	} {
		write(text)
		if _, err := d.GivenToken(t.Context(), path); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), text) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
	if _, err := d.GivenToken(t.Context(), path+"2"); err == nil {
		t.Error("a file that is not there is taken")
	}
}

// Whatever a stranger sends, only the right token gets a certificate.
func FuzzJoin(f *testing.F) {
	d, tokens := newDoor(f, newCA(f), new(log))
	d.config.Log = nil
	good, _, err := create(f.Context(), tokens, time.Hour, "")
	if err != nil {
		f.Fatal(err)
	}
	_, csr := request(f)
	right := good.Reveal()
	for _, v := range []struct {
		token string
		csr   []byte
	}{{right, nil}, {"", csr}, {right[:6], csr}, {right + "\n", csr}, {token.New().Reveal(), csr}, {right, csr[:len(csr)-1]}, {right, append([]byte{0x30}, csr...)}} {
		f.Add(v.token, v.csr)
	}
	f.Fuzz(func(t *testing.T, token string, request []byte) {
		id, err := d.admit(context.Background(), token)
		if err != nil {
			if c := status.Code(err); c != codes.Unauthenticated {
				t.Fatalf("%v", err)
			}
			if len(token) > 7 && strings.Contains(err.Error(), token) {
				t.Fatalf("the error tells the secret: %v", err)
			}
		} else if token != right && token != d.LocalToken() {
			t.Fatalf("%q lets in as %s", token, id)
		}
		c, err := d.certify(request, pki.Leaf{Role: pki.Worker, Name: "w1"})
		if err != nil {
			if status.Code(err) != codes.InvalidArgument {
				t.Fatalf("%v", err)
			}
		} else if len(c.GetCertificate()) == 0 {
			t.Fatal("no certificate and no error")
		}
	})
}
