package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc"

	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
	"github.com/ddpm-cluster/ddpm-cluster/worker/membership"
)

// admissionPause is between two coordinators that did not take a new worker in.
const admissionPause = time.Second

// admission opens the first session, on conn to the coordinator at address or, where that one goes
// away or does not lead, with whoever of the others takes this worker in.
func (l *life) admission(ctx context.Context, conn *grpc.ClientConn, address string) (*session, *ddpmv1.Welcome, error) {
	for until := time.Now().Add(membership.Limit(l.config.Wait, true)); ; {
		s, w, err := l.office.ask(ctx, conn, address, l.hello(), l.patience, l.log)
		if !errors.As(err, new(goneError)) {
			return s, w, err
		}
		if time.Now().After(until) {
			return nil, nil, fmt.Errorf("%w; no coordinator took this worker in for %v: start it again when one leads", err, membership.Limit(l.config.Wait, true))
		}
		l.log.Info("a coordinator did not take this worker in; asking again", "reason", err.Error())
		select {
		case <-time.After(admissionPause):
		case <-ctx.Done():
			return nil, nil, errInterrupted
		}
		if conn, _, address, err = dialAny(ctx, others(l.config.Join, address), l.member.Coordinator(), l.config.Wait, l.log); err != nil {
			return nil, nil, err
		}
	}
}

// others is addresses in turn from the one after last.
func others(addresses []string, last string) []string {
	i := slices.Index(addresses, last) + 1
	return slices.Concat(addresses[i:], addresses[:i])
}
