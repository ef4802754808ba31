package access

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/registry"
	"github.com/ddpm-cluster/ddpm-cluster/internal/pki"
	"github.com/ddpm-cluster/ddpm-cluster/internal/token"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

const (
	// maxStrange bounds a stranger's message, maxHeaders anybody's headers.
	maxStrange = 8 << 10
	maxHeaders = 16 << 10
	// localID is the id of the token that is in no list: the coordinator's own, for
	// the workers that it starts itself.
	localID = "local0"
)

// strangersServer serves those without a certificate.
func (d *Door) strangersServer() *grpc.Server {
	g := grpc.NewServer(
		grpc.Creds(shaken{}), grpc.MaxRecvMsgSize(maxStrange), grpc.MaxHeaderListSize(maxHeaders),
		grpc.MaxConcurrentStreams(4), grpc.ConnectionTimeout(handshakeLimit),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionIdle: 10 * time.Second, MaxConnectionAge: 30 * time.Second, MaxConnectionAgeGrace: 5 * time.Second,
		}),
		grpc.UnknownServiceHandler(func(_ any, _ grpc.ServerStream) error {
			d.count.refused.Add(1)
			return status.Error(codes.Unauthenticated, "this needs a certificate of the cluster: a worker gets one by --token and --ca-hash, ddpmctl has one in admin.conf")
		}),
	)
	ddpmv1.RegisterJoinServer(g, joining{d: d})
	healthv1.RegisterHealthServer(g, health.NewServer())
	return g
}

// LocalToken is a token for the workers that the coordinator starts itself. It is
// kept in memory alone.
func (d *Door) LocalToken() string { return d.local.Reveal() }

// joining is the service for strangers.
type joining struct {
	ddpmv1.UnimplementedJoinServer
	d *Door
}

// Join implements ddpmv1.JoinServer.
func (j joining) Join(ctx context.Context, r *ddpmv1.JoinRequest) (*ddpmv1.JoinResponse, error) {
	d := j.d
	from, ok := peer.FromContext(ctx)
	if !ok {
		return nil, status.Error(codes.Internal, "a call from nowhere")
	}
	if !d.joins.allow(from.Addr) {
		d.count.limited.Add(1)
		return nil, status.Error(codes.ResourceExhausted, "too many machines ask to join; try again in a moment")
	}
	id, err := d.admit(ctx, r.GetToken())
	if err == nil {
		var c *ddpmv1.Certificate
		name := "w-" + strings.ToLower(rand.Text())[:8]
		if c, err = d.certify(r.GetRequest(), pki.Leaf{Role: pki.Worker, Name: name, Token: id}); err == nil {
			d.count.joined.Add(1)
			level := slog.LevelInfo
			if id == localID {
				level = slog.LevelDebug
			}
			d.config.Log.Log(ctx, level, "let a worker in", "name", name, "from", from.Addr, "token", id)
			return &ddpmv1.JoinResponse{Certificate: c}, nil
		}
	}
	d.count.refused.Add(1)
	d.complain("refused a machine", "from", from.Addr, "reason", status.Convert(err).Message())
	return nil, err
}

// admit checks a token and returns its id. Who has the secret is told what is wrong
// with it; who has not learns nothing, not even whether there is such an id.
func (d *Door) admit(ctx context.Context, text string) (id string, err error) {
	t, err := token.Parse(text)
	if err != nil {
		return "", status.Errorf(codes.Unauthenticated, "token: %v", err)
	}
	if t.ID() == localID {
		if !t.Is(d.local.Hash()) {
			return "", errWrong()
		}
		return localID, nil
	}
	k, err := d.config.Tokens.Find(ctx, t.ID())
	if err != nil && !errors.Is(err, registry.ErrNoToken) {
		return "", status.Errorf(codes.Unavailable, "the tokens can't be read now: %v", err)
	}
	if !t.Is(k.Hash) { // also where there is none: a hash is never empty
		return "", errWrong()
	}
	switch {
	case k.Revoked:
		return "", status.Errorf(codes.Unauthenticated, "token %s was revoked; ask for another (ddpmctl token create)", k.ID)
	case !time.Now().Before(k.Expires):
		return "", status.Errorf(codes.Unauthenticated, "token %s has expired; ask for another (ddpmctl token create)", k.ID)
	}
	return k.ID, nil
}

func errWrong() error {
	return status.Error(codes.Unauthenticated, "the token is wrong; take the join command from the coordinator, or ask for another token (ddpmctl token create)")
}

// certify answers a certificate request.
func (d *Door) certify(request []byte, l pki.Leaf) (*ddpmv1.Certificate, error) {
	l.Life = d.config.Life
	der, err := d.config.CA.Sign(request, l, time.Now())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	return &ddpmv1.Certificate{Certificate: der, Authority: d.config.CA.Certificate().Raw}, nil
}

// renewal is the service for those who have a certificate.
type renewal struct {
	ddpmv1.UnimplementedRenewalServer
	d *Door
}

// Renew implements ddpmv1.RenewalServer.
func (r renewal) Renew(ctx context.Context, q *ddpmv1.RenewRequest) (*ddpmv1.RenewResponse, error) {
	id, err := pki.PeerFrom(ctx)
	if err != nil {
		return nil, status.Error(codes.Unauthenticated, err.Error())
	}
	if id.Role != pki.Worker {
		return nil, status.Errorf(codes.PermissionDenied, "a %s's certificate is not renewed; an administrator's is made when the coordinator starts", id.Role)
	}
	if err := r.d.standing(ctx, id); err != nil {
		return nil, err
	}
	c, err := r.d.certify(q.GetRequest(), pki.Leaf{Role: id.Role, Name: id.Name, Token: id.Token})
	if err != nil {
		r.d.count.refused.Add(1)
		return nil, err
	}
	r.d.count.renewed.Add(1)
	return &ddpmv1.RenewResponse{Certificate: c}, nil
}

// standing refuses who was let in by a token that was revoked since. One that has
// only expired has done its work.
func (d *Door) standing(ctx context.Context, id pki.Identity) error {
	if id.Token == localID {
		return nil
	}
	k, err := d.config.Tokens.Find(ctx, id.Token)
	if err != nil && !errors.Is(err, registry.ErrNoToken) {
		return status.Errorf(codes.Unavailable, "the tokens can't be read now: %v", err)
	}
	if k.Revoked {
		d.count.refused.Add(1)
		d.complain("refused a worker", "worker", id.String(), "reason", "token "+id.Token+" was revoked")
		return status.Errorf(codes.PermissionDenied, "token %s, by which %s was let in, was revoked", id.Token, id.Name)
	}
	return nil
}
