package membership

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/ddpm-cluster/ddpm-cluster/internal/pki"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

const (
	// attemptLimit bounds one call, firstRetry and lastRetry the wait before the
	// next.
	attemptLimit = 10 * time.Second
	firstRetry   = 100 * time.Millisecond
	lastRetry    = 2 * time.Second
	// reminder is how often a worker that waits says so.
	reminder = time.Minute
	// maxAnswer bounds what the coordinator answers here.
	maxAnswer = 64 << 10
)

// ErrInterrupted says that ctx ended first.
var ErrInterrupted = errors.New("interrupted while joining")

// Limit is how long a worker of so much patience tries at start, in all. Where its
// connection is taken it tries longer, 2 minutes if its patience is no more: a
// coordinator takes connections when it starts, and answers when it has read the newest
// checkpoint.
func Limit(patience time.Duration, taken bool) time.Duration {
	if !taken {
		return patience
	}
	return max(patience, min(8*patience, 2*time.Minute))
}

// Join gets a certificate from the first of the coordinators' addresses that
// answers. Without TLS it gives nil. It tries again for patience if nobody answers.
func Join(ctx context.Context, s Settings, addresses []string, patience time.Duration, log *slog.Logger) (*Member, error) {
	if s.Insecure {
		return nil, nil
	}
	begin, taken := time.Now(), false
	var told time.Time
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		var errs []error
		for _, address := range addresses {
			c, knock, err := join(ctx, s, address)
			switch {
			case err == nil:
				return newMember(pki.NewSource(c)), nil
			case ctx.Err() != nil:
				return nil, ErrInterrupted
			case knock.final(err):
				return nil, fmt.Errorf("the coordinator at %s does not let this worker in: %w", address, knock.plain(err))
			}
			taken = taken || knock.taken()
			errs = append(errs, fmt.Errorf("%s: %w", address, knock.plain(err)))
		}
		limit := Limit(patience, taken)
		if time.Since(begin) > limit {
			return nil, fmt.Errorf("no coordinator answers for %v (%w); check the address and that the coordinator runs, then start this worker again", limit, errors.Join(errs...))
		}
		if time.Since(told) > reminder {
			told = time.Now()
			log.Info("waiting for the coordinator", "address", addresses, "for", (limit - time.Since(begin)).Round(time.Second), "reason", errors.Join(errs...).Error())
		}
		if !sleep(ctx, wait) {
			return nil, ErrInterrupted
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// join makes one attempt.
func join(ctx context.Context, s Settings, address string) (*pki.Credential, *knock, error) {
	k := &knock{TransportCredentials: credentials.NewTLS(pki.Introduction(s.CAHash))}
	c, err := certificate(ctx, address, k, func(ctx context.Context, conn *grpc.ClientConn, request []byte) (*ddpmv1.Certificate, error) {
		r, err := ddpmv1.NewJoinClient(conn).Join(ctx, &ddpmv1.JoinRequest{Token: s.Token, Request: request})
		return r.GetCertificate(), err
	})
	if err == nil && c.Hash() != s.CAHash {
		err = errors.New("its certificate is not of the authority of --ca-hash")
	}
	return c, k, err
}

// Keep renews the certificate, at the first of the addresses that answers, until
// stop is called. The end of ctx does not end it: a worker that was asked to end
// trains to the step's boundary.
func (m *Member) Keep(ctx context.Context, addresses []string, log *slog.Logger) (stop func()) {
	if m == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var keeping sync.WaitGroup
	keeping.Go(func() { m.keep(ctx, addresses, log) })
	return func() {
		cancel()
		keeping.Wait()
	}
}

func (m *Member) keep(ctx context.Context, addresses []string, log *slog.Logger) {
	m.source.Keep(ctx, func(ctx context.Context) (*pki.Credential, error) {
		var errs []error
		for _, address := range addresses {
			c, err := certificate(ctx, address, m.Coordinator(), func(ctx context.Context, conn *grpc.ClientConn, request []byte) (*ddpmv1.Certificate, error) {
				r, err := ddpmv1.NewRenewalClient(conn).Renew(ctx, &ddpmv1.RenewRequest{Request: request})
				return r.GetCertificate(), err
			})
			if err == nil {
				log.Info("renewed the certificate", "expires", c.Expires())
				return c, nil
			}
			errs = append(errs, err)
		}
		return nil, errors.Join(errs...)
	}, func(err error) { log.Warn("can't renew the certificate", "err", err) })
}

// certificate asks for a certificate of a new key.
func certificate(ctx context.Context, address string, creds credentials.TransportCredentials,
	ask func(context.Context, *grpc.ClientConn, []byte) (*ddpmv1.Certificate, error),
) (*pki.Credential, error) {
	key, request, err := pki.NewRequest()
	if err != nil {
		return nil, err
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(creds), grpc.WithNoProxy(), grpc.WithDisableServiceConfig(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)),
	}
	if k, ok := creds.(*knock); ok {
		options = append(options, grpc.WithContextDialer(k.dial))
	}
	conn, err := grpc.NewClient("passthrough:///"+address, options...)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, attemptLimit)
	defer cancel()
	c, err := ask(ctx, conn, request)
	if err != nil {
		return nil, err
	}
	return pki.NewCredential(c.GetCertificate(), c.GetAuthority(), key)
}

// knock are credentials that remember how the attempt went, which grpc hides.
type knock struct {
	credentials.TransportCredentials
	mu          sync.Mutex
	connected   bool
	dialed, tls error
}

func (k *knock) dial(ctx context.Context, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.dialed = err
	k.connected = k.connected || err == nil
	return c, err
}

// ClientHandshake implements credentials.TransportCredentials.
func (k *knock) ClientHandshake(ctx context.Context, authority string, c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := k.TransportCredentials.ClientHandshake(ctx, authority, c)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tls = err
	return conn, info, err
}

// Clone implements credentials.TransportCredentials: grpc dials with a clone, and
// this one is to hear of it.
func (k *knock) Clone() credentials.TransportCredentials { return k }

func (k *knock) taken() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.connected
}

// final says that trying again leads nowhere.
func (k *knock) final(err error) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.tls != nil {
		return errors.As(k.tls, new(tls.RecordHeaderError)) || errors.As(k.tls, new(*pki.Mistaken))
	}
	switch status.Code(err) {
	case codes.Unavailable, codes.ResourceExhausted, codes.DeadlineExceeded, codes.Canceled, codes.Aborted:
		return false
	}
	return true
}

// plain is the error without grpc's words.
func (k *knock) plain(err error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case errors.As(k.tls, new(tls.RecordHeaderError)):
		return errors.New("it does not speak TLS; was it started with --insecure, or is it something else?")
	case k.tls != nil:
		return k.tls
	case k.dialed != nil:
		return k.dialed
	}
	return errors.New(status.Convert(err).Message())
}
