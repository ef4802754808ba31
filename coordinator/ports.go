package coordinator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"syscall"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/registry"
)

func listen(flag, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w; choose another port, or 0 for any free one", flag, address, err)
	}
	return l, nil
}

// listen opens the ports.
func (s *start) listen() (err error) {
	if s.listener, err = listen("--listen", s.config.Listen); err != nil {
		return err
	}
	for _, address := range s.config.HTTP {
		l, err := listen("--http", address)
		if err != nil {
			return err
		}
		s.webs = append(s.webs, l)
	}
	if s.config.Pprof != "" {
		s.profiles, err = listen("--pprof", s.config.Pprof)
	}
	return err
}

func (s *start) close() {
	if s.listener != nil {
		_ = s.listener.Close() // its server closes it too
	}
	for _, l := range slices.Concat(s.webs, s.kept) {
		_ = l.Close()
	}
	if s.profiles != nil {
		_ = s.profiles.Close()
	}
	s.listener, s.webs, s.kept, s.profiles = nil, nil, nil, nil
}

// standBy waits for the leadership until this coordinator can answer too: one whose ports are
// taken leaves the leadership to others, and stands by again.
func (s *start) standBy(ctx context.Context, etcd *registry.Etcd) (*registry.Leader, error) {
	s.log.Info("standing by until the leading coordinator is gone", "run", s.plan.Run)
	for told := false; ; told = true {
		leader, err := registry.Follow(ctx, etcd, s.plan.Run, who(s.config.Listen))
		if err != nil {
			return nil, err
		}
		if err = s.listenSoon(ctx); err == nil {
			s.log.Info("leading now", "run", s.plan.Run, "term", leader.Term())
			return leader, nil
		}
		if cerr := leader.Close(); cerr != nil {
			s.log.Warn("can't leave etcd as it should be", "err", cerr)
		}
		if !mayBeFree(err) || ctx.Err() != nil {
			return nil, err
		}
		if !told {
			s.log.Warn("can't lead, and stands by again: no worker would reach this coordinator; free its port", "err", err)
		}
		const others = time.Second // have the time to lead
		select {
		case <-time.After(others):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// listenSoon opens the ports of a standby. Whoever has one may be about to end, as the
// coordinator that led before on the same machine.
func (s *start) listenSoon(ctx context.Context) error {
	const between = 100 * time.Millisecond
	for until := time.Now().Add(s.options.limits.bind); ; {
		err := s.listen()
		if err == nil {
			return nil
		}
		s.close() // those that are open would be in its own way
		if !mayBeFree(err) || time.Now().After(until) {
			return err
		}
		select {
		case <-time.After(between):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// mayBeFree says that an address which could not be listened at may be there later: a port that
// another process has, or an address that moves from machine to machine.
func mayBeFree(err error) bool {
	return errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EADDRNOTAVAIL)
}
