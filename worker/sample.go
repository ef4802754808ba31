package worker

import (
	"context"
	"errors"
	"fmt"
	"os"

	ddpmcluster "github.com/ddpm-cluster/ddpm-cluster"
	"github.com/ddpm-cluster/ddpm-cluster/internal/tracing"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
	"github.com/ddpm-cluster/ddpm-cluster/worker/membership"
	"github.com/ddpm-cluster/ddpm-cluster/worker/sampling"
)

// Sample is the life of a worker of the sampling pool, until ctx ends, which is no
// error.
func Sample(ctx context.Context, c Config) error {
	if c.Wait == 0 {
		c.Wait = DefaultWait
	}
	if c.Away == 0 {
		c.Away = DefaultAway
	}
	member, err := membership.Join(ctx, c.Security, c.Join, c.Wait, c.Log)
	if err != nil {
		return quiet(ctx, err)
	}
	defer member.Keep(ctx, c.Join, c.Log)()
	stop, err := serveProfiles(c.Pprof, member, c.Log)
	if err != nil {
		return err
	}
	defer stop()
	// One connection to whoever answers first says whether somebody is there at all.
	first, _, address, err := dialAny(ctx, c.Join, member.Coordinator(), c.Wait, c.Log)
	if err != nil {
		return quiet(ctx, err)
	}
	defer first.Close()
	pools := []ddpmv1.PoolClient{ddpmv1.NewPoolClient(first)}
	for _, other := range c.Join {
		if other == address {
			continue
		}
		conn, err := new(dialer).client(other, member.Coordinator())
		if err != nil {
			return err
		}
		defer conn.Close()
		pools = append(pools, ddpmv1.NewPoolClient(conn))
	}
	n := threads(c.Threads, 0)
	tracer := tracing.Open(ctx, tracing.Process{Service: "ddpm-worker", Version: ddpmcluster.Version(), Worker: workerName()}, c.Log)
	defer tracer.Close()
	c.Log.Info("in the sampling pool", "coordinator", address, "threads", n)
	return sampling.Run(ctx, sampling.Config{
		Name: workerName(), Build: ddpmcluster.Fingerprint(), Threads: n, Away: c.Away, Pulse: c.Pulse, Log: c.Log, Tracer: tracer,
	}, pools)
}

// quiet is no error where the worker was asked to end before it had begun.
func quiet(ctx context.Context, err error) error {
	if ctx.Err() != nil && (errors.Is(err, membership.ErrInterrupted) || errors.Is(err, errInterrupted)) {
		return nil
	}
	return err
}

func workerName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d", host, os.Getpid())
}
