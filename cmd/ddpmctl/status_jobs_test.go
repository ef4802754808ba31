package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/pool"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// statusAndJobs is a coordinator with a run, if it has a document, and with jobs, if it has
// the pool.
type statusAndJobs struct {
	ddpmv1.UnimplementedStatusServer
	ddpmv1.UnimplementedJobsServer
	document []byte
	jobs     []*ddpmv1.JobStatus
	away     bool
}

func (c *statusAndJobs) GetStatus(context.Context, *ddpmv1.GetStatusRequest) (*ddpmv1.GetStatusResponse, error) {
	if c.document == nil {
		return nil, status.Error(codes.FailedPrecondition, "it trains nothing")
	}
	return &ddpmv1.GetStatusResponse{Document: c.document}, nil
}

func (c *statusAndJobs) ListJobs(context.Context, *ddpmv1.ListJobsRequest) (*ddpmv1.ListJobsResponse, error) {
	if c.away {
		return nil, status.Error(codes.Unavailable, "another one has it")
	}
	return &ddpmv1.ListJobsResponse{Jobs: c.jobs}, nil
}

// handler is the same by HTTP.
func (c *statusAndJobs) handler(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/api/status" && c.document != nil:
		_, _ = w.Write(c.document) // a client that is gone
	case r.URL.Path == "/api/samples" && c.away:
		http.Error(w, "another one has it", http.StatusServiceUnavailable)
	case r.URL.Path == "/api/samples":
		views := make([]pool.View, len(c.jobs))
		for i, s := range c.jobs {
			views[i] = pool.NewView(s)
		}
		_ = json.NewEncoder(w).Encode(views)
	default:
		http.NotFound(w, r)
	}
}

// asked is what ddpmctl status says of it.
func (c *statusAndJobs) asked(t *testing.T, by string, json bool) (string, error) {
	t.Helper()
	var out bytes.Buffer
	f := &statusFlags{json: json, stdout: &out, stderr: &out}
	if by == "HTTP" {
		s := httptest.NewServer(http.HandlerFunc(c.handler))
		defer s.Close()
		f.http = s.Listener.Addr().String()
	} else {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		g := grpc.NewServer()
		ddpmv1.RegisterStatusServer(g, c)
		ddpmv1.RegisterJobsServer(g, c)
		go func() { _ = g.Serve(l) }() // it ends by Stop alone
		defer g.Stop()
		f.admin = administrator{join: l.Addr().String(), insecure: true}
	}
	err := f.run(t.Context())
	return out.String(), err
}

// someJobs are ten that are queued, one at work and one that has ended.
func someJobs() (all []*ddpmv1.JobStatus) {
	all = append(all,
		&ddpmv1.JobStatus{Id: "old", State: ddpmv1.JobState_JOB_STATE_DONE, Ended: timestamppb.Now()},
		&ddpmv1.JobStatus{
			Id: "j0", State: ddpmv1.JobState_JOB_STATE_RUNNING, Images: 16, ImagesDone: 5,
			Job: []byte(`{"format":1,"run":"digits","step":500,"n":16,"sampler":{"method":"ddim","steps":50,"seed":7}}`),
		})
	for i := range 10 {
		all = append(all, &ddpmv1.JobStatus{Id: fmt.Sprintf("q%d", i), State: ddpmv1.JobState_JOB_STATE_QUEUED, Images: 4})
	}
	return all
}

// The open jobs are beside the run; of a coordinator that serves the pool alone they are all.
func TestStatusHasTheJobs(t *testing.T) {
	t.Parallel()
	document, err := json.Marshal(aStatus())
	if err != nil {
		t.Fatal(err)
	}
	for _, by := range []string{"gRPC", "HTTP"} {
		for name, document := range map[string][]byte{"a run": document, "the pool alone": nil} {
			c := &statusAndJobs{document: document, jobs: someJobs()}
			text, err := c.asked(t, by, false)
			if err != nil || strings.Contains(text, "run digits · training") != (document != nil) || strings.Contains(text, "trains nothing") != (document == nil) ||
				!strings.Contains(text, "\njobs: 10 queued, 1 running\n  j0, running, 5 of 16 images, ") || !strings.HasSuffix(text, "\n  … and 3 more; ddpmctl jobs list shows all\n") || strings.Contains(text, "old") {
				t.Errorf("%s by %s: %v\n%s", name, by, err, text)
			}
			var told struct {
				Run  string
				Jobs []pool.View
			}
			text, err = c.asked(t, by, true)
			if bad := json.Unmarshal([]byte(text), &told); err != nil || bad != nil || len(told.Jobs) != 11 || told.Jobs[0].ImagesDone != 5 || (told.Run == "digits") != (document != nil) {
				t.Errorf("%s by %s: %v, %v\n%s", name, by, err, bad, text)
			}
			if text, err := (&statusAndJobs{document: document}).asked(t, by, true); err != nil || !strings.Contains(strings.Join(strings.Fields(text), ""), `"jobs":[]}`) {
				t.Errorf("%s by %s and no jobs: %v\n%s", name, by, err, text)
			}
		}
	}
}

// That the jobs are not to be had hides no run.
func TestStatusWithoutThePool(t *testing.T) {
	t.Parallel()
	for _, by := range []string{"gRPC", "HTTP"} {
		c := &statusAndJobs{document: []byte(`{"run":"digits","new":1}`), away: true}
		if text, err := c.asked(t, by, false); err != nil || !strings.Contains(text, "run digits") || !strings.Contains(text, "\njobs: not known: ") || !strings.Contains(text, "another one has it") {
			t.Errorf("by %s: %v\n%s", by, err, text)
		}
		if text, err := c.asked(t, by, true); err != nil || strings.Join(strings.Fields(text), "") != `{"run":"digits","new":1,"jobs":null}` {
			t.Errorf("by %s: %v\n%s", by, err, text)
		}
		c.document = nil
		if text, err := c.asked(t, by, false); err == nil || !strings.Contains(err.Error(), "another one has it") {
			t.Errorf("by %s the pool alone: %v\n%s", by, err, text)
		}
	}
}

// Who watches where there is no run is told what there is.
func TestStatusWatchOfAPoolAlone(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc((&statusAndJobs{}).handler))
	defer s.Close()
	if _, stderr := told(t, exitFailure, "--watch", "--http", s.Listener.Addr().String()); !strings.Contains(stderr, "serves the sampling pool alone") || !strings.Contains(stderr, "without --watch") {
		t.Error(stderr)
	}
}
