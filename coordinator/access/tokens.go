package access

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/registry"
	"github.com/ddpm-cluster/ddpm-cluster/internal/token"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// Tokens is where tokens are kept; package registry's is the real one. What can't
// be found is registry.ErrNoToken.
type Tokens interface {
	Create(ctx context.Context, t registry.Token) error
	Find(ctx context.Context, id string) (registry.Token, error)
	List(ctx context.Context) ([]registry.Token, error)
	Revoke(ctx context.Context, id string) error
}

const (
	// TokenLife is how long a token lets machines in unless somebody asks for
	// another time.
	TokenLife = 24 * time.Hour
	// longestLife bounds what may be asked for.
	longestLife    = 10 * 365 * 24 * time.Hour
	maxDescription = 256
)

// tokensServer is the administrators' service.
type tokensServer struct {
	ddpmv1.UnimplementedTokensServer
	d *Door
}

// CreateToken implements ddpmv1.TokensServer.
func (s tokensServer) CreateToken(ctx context.Context, r *ddpmv1.CreateTokenRequest) (*ddpmv1.CreateTokenResponse, error) {
	life := TokenLife
	if n := r.GetTtlSeconds(); n > uint64(longestLife/time.Second) {
		return nil, status.Errorf(codes.InvalidArgument, "a token for %d s; %d are the most", n, longestLife/time.Second)
	} else if n > 0 {
		life = time.Duration(n) * time.Second
	}
	if len(r.GetDescription()) > maxDescription {
		return nil, status.Errorf(codes.InvalidArgument, "a description of %d bytes; %d are enough", len(r.GetDescription()), maxDescription)
	}
	t, k, err := create(ctx, s.d.config.Tokens, life, r.GetDescription())
	if err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	s.d.config.Log.Info("made a token", "token", k.ID, "expires", k.Expires)
	return &ddpmv1.CreateTokenResponse{Token: t.Reveal(), Record: record(k), CaHash: s.d.config.CA.Hash()}, nil
}

// create draws a token and keeps its hash.
func create(ctx context.Context, tokens Tokens, life time.Duration, description string) (token.Token, registry.Token, error) {
	t := token.New()
	now := time.Now().UTC().Truncate(time.Second)
	k := registry.Token{ID: t.ID(), Hash: t.Hash(), Description: description, Created: now, Expires: now.Add(life)}
	return t, k, tokens.Create(ctx, k)
}

// ListTokens implements ddpmv1.TokensServer.
func (s tokensServer) ListTokens(ctx context.Context, _ *ddpmv1.ListTokensRequest) (*ddpmv1.ListTokensResponse, error) {
	list, err := s.d.config.Tokens.List(ctx)
	if err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	r := new(ddpmv1.ListTokensResponse)
	for _, k := range list {
		r.Tokens = append(r.Tokens, record(k))
	}
	return r, nil
}

// RevokeToken implements ddpmv1.TokensServer.
func (s tokensServer) RevokeToken(ctx context.Context, r *ddpmv1.RevokeTokenRequest) (*ddpmv1.RevokeTokenResponse, error) {
	if !token.ValidID(r.GetId()) {
		return nil, status.Error(codes.InvalidArgument, "that is not the id of a token, which is what stands before its dot")
	}
	err := s.d.config.Tokens.Revoke(ctx, r.GetId())
	switch {
	case errors.Is(err, registry.ErrNoToken):
		return nil, status.Errorf(codes.NotFound, "there is no token %s; see ddpmctl token list", r.GetId())
	case err != nil:
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	s.d.config.Log.Info("revoked a token", "token", r.GetId())
	return &ddpmv1.RevokeTokenResponse{}, nil
}

func record(k registry.Token) *ddpmv1.Token {
	return &ddpmv1.Token{
		Id: k.ID, Description: k.Description, Revoked: k.Revoked,
		Created: timestamppb.New(k.Created), Expires: timestamppb.New(k.Expires),
	}
}
