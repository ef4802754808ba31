package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"google.golang.org/grpc"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/pool"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// shownJobs is how many jobs a page has at most.
const shownJobs = 8

// openJobs are the jobs of the sampling pool that have not ended, the oldest first.
func (f *statusFlags) openJobs(ctx context.Context) ([]pool.View, error) {
	all, err := f.allJobs(ctx)
	if err != nil {
		return nil, err
	}
	open := []pool.View{} // and not null, which is what is not known
	for _, v := range all {
		if v.Ended == nil {
			open = append(open, v)
		}
	}
	return open, nil
}

func (f *statusFlags) allJobs(ctx context.Context) (all []pool.View, err error) {
	if f.http != "" {
		ctx, cancel := context.WithTimeout(ctx, answerLimit)
		defer cancel()
		text, err := f.read(ctx, "/api/samples")
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(text, &all); err != nil {
			return nil, fmt.Errorf("the coordinator's answer is no list of jobs: %w", err)
		}
		return all, nil
	}
	err = f.admin.ask(ctx, func(ctx context.Context, _ string, conn *grpc.ClientConn) error {
		r, err := ddpmv1.NewJobsClient(conn).ListJobs(ctx, &ddpmv1.ListJobsRequest{}, grpc.MaxCallRecvMsgSize(maxStatus))
		for _, s := range r.GetJobs() {
			all = append(all, pool.NewView(s))
		}
		return err
	})
	return all, err
}

// withJobs adds the jobs to the document, which stays as it is otherwise: it may have
// fields that this version does not know.
func withJobs(document []byte, jobs []pool.View) ([]byte, error) {
	text, err := json.Marshal(jobs)
	if err != nil {
		return nil, fmt.Errorf("encode jobs: %w", err)
	}
	object, ok := bytes.CutSuffix(bytes.TrimSpace(document), []byte("}"))
	if !ok {
		return nil, fmt.Errorf("the coordinator's answer is no JSON object: %.40q", document)
	}
	return slices.Concat(object, []byte(`,"jobs":`), text, []byte("}")), nil
}

// pool prints what there is to say of a coordinator that serves the pool alone.
func (f *statusFlags) pool(ctx context.Context) error {
	jobs, err := f.openJobs(ctx)
	if err != nil {
		return err
	}
	if f.json {
		return printJSON(f.stdout, struct {
			Jobs []pool.View `json:"jobs"`
		}{jobs})
	}
	var p page
	p.line("this coordinator trains nothing and serves the sampling pool")
	p.jobs(jobs, nil)
	_, err = p.text.WriteTo(f.stdout)
	return err
}

// jobs says which jobs have not ended, or why that is not known.
func (p *page) jobs(open []pool.View, err error) {
	if err != nil {
		p.line("\njobs: not known: %v", err)
		return
	}
	running := 0
	for _, v := range open {
		if v.State == "running" {
			running++
		}
	}
	p.line("\njobs: %d queued, %d running", len(open)-running, running)
	for _, v := range open[:min(len(open), shownJobs)] {
		run, step := v.Checkpoint()
		p.line("  %s, %s, %d of %d images, run %s, step %d: %s", v.ID, v.State, v.ImagesDone, v.Images, run, step, v.What())
	}
	if n := len(open) - shownJobs; n > 0 {
		p.line("  … and %d more; ddpmctl jobs list shows all", n)
	}
}
