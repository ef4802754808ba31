package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/pool"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/evaluate"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/sampler/job"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
)

const (
	// awayLimit bounds how long a job is watched while no coordinator answers.
	awayLimit = 10 * time.Minute
	// transfers is how many files are fetched at once.
	transfers = 8
)

// inPool has a cluster draw the images.
func (f *sampleFlags) inPool(c *cobra.Command, stdout, stderr io.Writer) error {
	for _, name := range []string{"batch", "threads"} {
		if c.Flags().Changed(name) {
			return usageError{fmt.Errorf("--%s: in a cluster each worker chooses for itself; leave it out", name)}
		}
	}
	if f.target.run == "" {
		return usageError{errors.New("--run is needed: whose checkpoint to draw from")}
	}
	request, err := json.Marshal(f.request(c))
	if err != nil {
		return fmt.Errorf("encode the request: %w", err)
	}
	s, err := f.admin.submit(c.Context(), &ddpmv1.SubmitJobRequest{Request: request}, f.detach, stdout, stderr)
	if err != nil || f.detach {
		return err
	}
	return fetched(c.Context(), s, &f.out, f.target.storageGiven(c), stdout, stderr)
}

// submit has a cluster do a job and waits for it; detached it only prints the job's id.
func (a *administrator) submit(ctx context.Context, q *ddpmv1.SubmitJobRequest, detach bool, stdout, stderr io.Writer) (*ddpmv1.JobStatus, error) {
	var id string
	err := a.ask(ctx, func(ctx context.Context, _ string, conn *grpc.ClientConn) error {
		r, err := ddpmv1.NewJobsClient(conn).SubmitJob(ctx, q)
		id = r.GetJob().GetId()
		return err
	})
	if err != nil {
		return nil, err
	}
	if detach {
		_, err := fmt.Fprintln(stdout, id)
		return nil, err
	}
	fmt.Fprintf(stderr, "job %s\n", id)
	return a.watch(ctx, id, jobBar(stderr), &idle{limit: idleLimit, stderr: stderr})
}

// jobBar shows a job's progress on a terminal.
func jobBar(stderr io.Writer) func(*ddpmv1.JobStatus) {
	bar := sayingBar(stderr)
	return func(s *ddpmv1.JobStatus) {
		if bar != nil {
			bar(int(s.GetFraction()*float64(s.GetImages())), int(s.GetImages()), speed(s))
		}
	}
}

// speed says in a few words how a job goes.
func speed(s *ddpmv1.JobStatus) string {
	if s.GetImagesPerSecond() == 0 {
		return fmt.Sprintf("%d workers", s.GetWorkers())
	}
	left := time.Duration(s.GetSecondsLeft()) * time.Second
	return fmt.Sprintf("%.3g images/s, %.3g steps/s, %d workers, %v left", s.GetImagesPerSecond(), s.GetStepsPerSecond(), s.GetWorkers(), left)
}

// watch waits until a job has ended, through restarts of the coordinator, and gives
// it if it is done.
func (a *administrator) watch(ctx context.Context, id string, show func(*ddpmv1.JobStatus), idle *idle) (*ddpmv1.JobStatus, error) {
	server, conn, err := a.connect()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	for heard := time.Now(); ; {
		s, err := watchOnce(ctx, conn, id, func(s *ddpmv1.JobStatus) {
			heard = time.Now()
			show(s)
			if idle.saw(heard, s) {
				idle.explain(ctx, a, server, conn, id)
			}
		})
		switch {
		case err != nil && ctx.Err() != nil:
			return nil, goesOn(id)
		case err == nil && s.GetState() == ddpmv1.JobState_JOB_STATE_DONE:
			return s, nil
		case err == nil && s.GetState() == ddpmv1.JobState_JOB_STATE_CANCELLED:
			return nil, fmt.Errorf("job %s was cancelled", id)
		case err == nil && s.GetState() == ddpmv1.JobState_JOB_STATE_FAILED:
			return nil, fmt.Errorf("job %s failed: %s", id, s.GetReason())
		case err != nil && status.Code(err) != codes.Unavailable && !errors.Is(err, io.EOF):
			return nil, said(server, err)
		case time.Since(heard) > awayLimit:
			return nil, fmt.Errorf("%w; the job goes on where the coordinator does", said(server, err))
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil, goesOn(id)
		}
	}
}

// goesOn says what becomes of a job that nobody waits for any more.
func goesOn(id string) error {
	return interruptedError{fmt.Errorf("interrupted; job %s goes on without this command: ddpmctl jobs watch, cancel or fetch %s", id, id)}
}

// watchOnce follows a job until it has ended or the stream breaks.
func watchOnce(ctx context.Context, conn *grpc.ClientConn, id string, show func(*ddpmv1.JobStatus)) (*ddpmv1.JobStatus, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := ddpmv1.NewJobsClient(conn).WatchJob(ctx, &ddpmv1.WatchJobRequest{Id: id})
	if err != nil {
		return nil, err
	}
	for {
		r, err := stream.Recv()
		if err != nil {
			return nil, err
		}
		show(r.GetJob())
		if r.GetJob().GetEnded() != nil {
			return r.GetJob(), nil
		}
	}
}

// fetched fetches a job's files to where they are wanted and says so.
func fetched(ctx context.Context, s *ddpmv1.JobStatus, out *sampleOutput, uri string, stdout, stderr io.Writer) error {
	store, err := resultStore(ctx, s, uri)
	if err != nil {
		return err
	}
	v := pool.NewView(s)
	if v.Job == nil && (v.Evaluation == nil || out.picture()) {
		return fmt.Errorf("job %s has no pictures to fetch: %s", s.GetId(), v.What())
	}
	err = out.place(stdout, func(path string) error {
		switch {
		case out.picture():
			content, err := read(ctx, store, s.GetPrefix()+job.GridName)
			if err != nil {
				return err
			}
			return os.WriteFile(path, content, 0o644)
		case v.Evaluation != nil:
			content, err := read(ctx, store, s.GetPrefix()+evaluate.ReportName)
			if err != nil {
				return err
			}
			return writer(path)(evaluate.ReportName, content)
		}
		return fetchFolder(ctx, store, s.GetPrefix(), *v.Job, path)
	})
	if err != nil {
		return err
	}
	run, step := v.Checkpoint()
	images := fmt.Sprintf("%d images", s.GetImages())
	if out.picture() && s.GetImages() > job.MaxGrid {
		images = fmt.Sprintf("the first %s of %s images", humanize.Comma(job.MaxGrid), humanize.Comma(int64(s.GetImages())))
	}
	fmt.Fprintf(out.said(stdout, stderr), "%s: %s of run %s, step %d: %s\n", out.path, images, run, step, v.What())
	return nil
}

// resultStore opens the Store of a job's results, by another URI where the
// coordinator's does not do here.
func resultStore(ctx context.Context, s *ddpmv1.JobStatus, uri string) (storage.Store, error) {
	if uri == "" {
		uri = s.GetStorage()
	}
	store, err := storage.Open(ctx, uri)
	if err != nil {
		return nil, fmt.Errorf("the files of job %s are at %s in %s, which this machine does not reach: %w; say by --storage how it does", s.GetId(), s.GetPrefix(), s.GetStorage(), err)
	}
	return store, nil
}

// fetchFolder fetches every file of a job.
func fetchFolder(ctx context.Context, store storage.Store, prefix string, j job.Job, path string) error {
	names := []string{job.JobName}
	for i := range j.N {
		names = append(names, job.ImageName(i))
	}
	optional := map[string]bool{job.GridName: true, job.NPZName: true, job.TrajectoryName: true}
	if err := os.MkdirAll(filepath.Join(path, "images"), 0o755); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(transfers)
	write := writer(path)
	for name := range optional {
		names = append(names, name)
	}
	for _, name := range names {
		g.Go(func() error {
			content, err := read(ctx, store, prefix+name)
			if optional[name] && errors.Is(err, storage.ErrNotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			return write(name, content)
		})
	}
	return g.Wait()
}

func read(ctx context.Context, store storage.Store, key string) ([]byte, error) {
	r, _, err := store.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}
