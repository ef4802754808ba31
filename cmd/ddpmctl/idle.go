package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"

	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// idleLimit is how long nobody may work on a job before whoever waits for it is told.
const idleLimit = 5 * time.Second

// idle notices a stretch in which nobody works on a job that has work left.
type idle struct {
	limit  time.Duration
	stderr io.Writer
	since  time.Time // zero while somebody does
	told   bool
}

// saw takes in how the job is, and says whether to look why nobody works on it.
func (i *idle) saw(now time.Time, s *ddpmv1.JobStatus) bool {
	switch {
	case s.GetWorkers() > 0 || s.GetEnded() != nil || s.GetFraction() >= 1:
		i.since, i.told = time.Time{}, false
	case i.since.IsZero():
		i.since = now
	}
	return !i.since.IsZero() && !i.told && now.Sub(i.since) >= i.limit
}

// explain says that the pool has no sampler, where it has none: else they are at other jobs,
// which came before, and it is looked at again later.
func (i *idle) explain(ctx context.Context, a *administrator, server string, conn *grpc.ClientConn, id string) {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	i.since = time.Now()
	r, err := ddpmv1.NewJobsClient(conn).ListJobs(ctx, &ddpmv1.ListJobsRequest{})
	if err != nil {
		return
	}
	for _, s := range r.GetJobs() {
		if s.GetWorkers() > 0 {
			return
		}
	}
	i.told = true
	with := "--token … --ca-hash … (as ddpmctl token create prints them)"
	if a.insecure {
		with = "--insecure"
	}
	fmt.Fprintf(i.stderr, "job %s waits: no sampler is in the pool; start one by ddpm-worker --role sample --join %s %s\n", id, server, with)
}
