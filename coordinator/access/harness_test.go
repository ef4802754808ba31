package access

import (
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"errors"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/registry"
	"github.com/ddpm-cluster/ddpm-cluster/internal/pki"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wait is how long a test waits for what should come soon.
const wait = 30 * time.Second

// kept are tokens in memory.
type kept struct {
	mu     sync.Mutex
	tokens map[string]registry.Token
	lost   error // of every call
}

func (k *kept) Create(_ context.Context, t registry.Token) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, taken := k.tokens[t.ID]; taken {
		return errors.New("the id is taken")
	}
	k.tokens[t.ID] = t
	return k.lost
}

func (k *kept) Find(_ context.Context, id string) (registry.Token, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.lost != nil {
		return registry.Token{}, k.lost
	}
	t, ok := k.tokens[id]
	if !ok {
		return t, registry.ErrNoToken
	}
	return t, nil
}

func (k *kept) List(context.Context) ([]registry.Token, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.SortedFunc(maps.Values(k.tokens), func(a, b registry.Token) int { return bytes.Compare([]byte(a.ID), []byte(b.ID)) }), k.lost
}

func (k *kept) Revoke(ctx context.Context, id string) error {
	t, err := k.Find(ctx, id)
	if err == nil {
		t.Revoked = true
		k.mu.Lock()
		defer k.mu.Unlock()
		k.tokens[id] = t
	}
	return err
}

// log is a log that several write to.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// sessions answers every session with a Welcome that says who it is.
type sessions struct {
	ddpmv1.UnimplementedCoordinatorServer
}

func (sessions) Session(s ddpmv1.Coordinator_SessionServer) error {
	id, err := pki.PeerFrom(s.Context())
	if err != nil {
		return err
	}
	return s.Send(&ddpmv1.CoordinatorMessage{Body: &ddpmv1.CoordinatorMessage_Welcome{Welcome: &ddpmv1.Welcome{WorkerId: id.Name}}})
}

// statuses answers everybody who gets through.
type statuses struct {
	ddpmv1.UnimplementedStatusServer
}

func (statuses) WatchStatus(_ *ddpmv1.WatchStatusRequest, stream grpc.ServerStreamingServer[ddpmv1.WatchStatusResponse]) error {
	return stream.Send(&ddpmv1.WatchStatusResponse{})
}

// house is a door with services behind it.
type house struct {
	t       *testing.T
	ca      *pki.CA
	door    *Door
	guard   *guard
	tokens  *kept
	log     *log
	address string
	from    string // the address that its guests come from; "" is any
}

func newDoor(t testing.TB, ca *pki.CA, log *log) (*Door, *kept) {
	t.Helper()
	self, err := ca.Issue(pki.Leaf{Role: pki.Coordinator, Name: "c", Life: time.Hour}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	tokens := &kept{tokens: map[string]registry.Token{}}
	return New(Config{CA: ca, Self: pki.NewSource(self), Tokens: tokens, Log: slog.New(slog.NewTextHandler(log, nil))}), tokens
}

func newCA(t testing.TB) *pki.CA {
	t.Helper()
	ca, err := pki.NewCA(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func build(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, ca: newCA(t), log: new(log)}
	h.door, h.tokens = newDoor(t, h.ca, h.log)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.address = l.Addr().String()
	g := grpc.NewServer(append(h.door.Options(), grpc.WaitForHandlers(true))...)
	ddpmv1.RegisterCoordinatorServer(g, sessions{})
	ddpmv1.RegisterPoolServer(g, ddpmv1.UnimplementedPoolServer{})
	ddpmv1.RegisterStatusServer(g, statuses{})
	h.door.Register(g)
	done := make(chan error, 1)
	h.guard = h.door.Guard(l).(*guard)
	go func() { done <- g.Serve(h.guard) }()
	t.Cleanup(func() {
		g.Stop()
		if err := <-done; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Error(err)
		}
	})
	return h
}

// as connects with a TLS config.
func (h *house) as(c *tls.Config) *grpc.ClientConn {
	h.t.Helper()
	dialer := net.Dialer{}
	if h.from != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(h.from)}
	}
	conn, err := grpc.NewClient(h.address, grpc.WithTransportCredentials(credentials.NewTLS(c)), grpc.WithDisableServiceConfig(),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return dialer.DialContext(ctx, "tcp", address)
		}))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func (h *house) stranger() *grpc.ClientConn { return h.as(pki.Introduction(h.ca.Hash())) }

// holder is somebody with a certificate of an authority.
func (h *house) holder(ca *pki.CA, role pki.Role, name string, made time.Time) *pki.Source {
	h.t.Helper()
	c, err := ca.Issue(pki.Leaf{Role: role, Name: name, Token: "abc123", Life: time.Hour}, made)
	if err != nil {
		h.t.Fatal(err)
	}
	return pki.NewSource(c)
}

func (h *house) admin() ddpmv1.TokensClient {
	return ddpmv1.NewTokensClient(h.as(h.holder(h.ca, pki.Admin, "a", time.Now()).Client(pki.Coordinator, "")))
}

// request makes a key and its certificate request.
func request(t testing.TB) (crypto.Signer, []byte) {
	t.Helper()
	key, csr, err := pki.NewRequest()
	if err != nil {
		t.Fatal(err)
	}
	return key, csr
}

// join joins by a token and gives the new member's credential.
func (h *house) join(token string) (*pki.Source, error) {
	h.t.Helper()
	key, csr := request(h.t)
	r, err := ddpmv1.NewJoinClient(h.stranger()).Join(h.t.Context(), &ddpmv1.JoinRequest{Token: token, Request: csr})
	if err != nil {
		return nil, err
	}
	c, err := pki.NewCredential(r.GetCertificate().GetCertificate(), r.GetCertificate().GetAuthority(), key)
	if err != nil {
		h.t.Fatal(err)
	}
	return pki.NewSource(c), nil
}

// session opens a session and returns who the coordinator thinks it is.
func session(t *testing.T, conn *grpc.ClientConn) (string, error) {
	t.Helper()
	s, err := ddpmv1.NewCoordinatorClient(conn).Session(t.Context())
	if err != nil {
		return "", err
	}
	m, err := s.Recv()
	return m.GetWelcome().GetWorkerId(), err
}
