package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/pool"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/sampler/job"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// jobsFlags are those of all commands about jobs.
type jobsFlags struct {
	admin          administrator
	json           bool
	stdout, stderr io.Writer
}

func jobsCommand(stdout, stderr io.Writer) *cobra.Command {
	f := &jobsFlags{stdout: stdout, stderr: stderr}
	c := &cobra.Command{
		Use:     "jobs",
		Example: "  ddpmctl jobs list\n  ddpmctl jobs watch ID --json",
		Short:   "List, show, watch, cancel and fetch the jobs of a cluster's sampling pool",
		Long:    "Asks the coordinator for the jobs that ddpmctl sample --join and ddpmctl eval --join have submitted.",
		Args:    ownCommands,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	f.admin.joinFlags(c.PersistentFlags())
	c.PersistentFlags().BoolVar(&f.json, "json", false, "print JSON")
	c.AddCommand(f.listCommand(), f.showCommand(), f.watchCommand(), f.cancelCommand(), f.fetchCommand())
	return c
}

func (f *jobsFlags) listCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Example: "  ddpmctl jobs list --json",
		Short:   "List the jobs, the oldest first",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			return f.ask(c.Context(), func(ctx context.Context, jobs ddpmv1.JobsClient) error {
				r, err := jobs.ListJobs(ctx, &ddpmv1.ListJobsRequest{})
				if err != nil {
					return err
				}
				lines := make([]pool.View, len(r.GetJobs()))
				for i, s := range r.GetJobs() {
					lines[i] = pool.NewView(s)
				}
				if f.json {
					return printJSON(f.stdout, lines)
				}
				w := tabwriter.NewWriter(f.stdout, 0, 0, 2, ' ', 0)
				fmt.Fprintln(w, "ID\tSTATE\tIMAGES\tRUN\tSTEP\tWHAT\tSUBMITTED")
				for _, l := range lines {
					run, step := l.Checkpoint()
					fmt.Fprintf(w, "%s\t%s\t%d/%d\t%s\t%d\t%s\t%s\n", l.ID, l.State, l.ImagesDone, l.Images,
						run, step, l.What(), l.Submitted.Local().Format(time.DateTime))
				}
				return w.Flush()
			})
		},
	}
}

func (f *jobsFlags) showCommand() *cobra.Command {
	return f.oneCommand("show", "Show a job", func(ctx context.Context, jobs ddpmv1.JobsClient, id string) (*ddpmv1.JobStatus, error) {
		r, err := jobs.GetJob(ctx, &ddpmv1.GetJobRequest{Id: id})
		return r.GetJob(), err
	})
}

func (f *jobsFlags) cancelCommand() *cobra.Command {
	return f.oneCommand("cancel", "End a job; what it has drawn stays in the Store", func(ctx context.Context, jobs ddpmv1.JobsClient, id string) (*ddpmv1.JobStatus, error) {
		r, err := jobs.CancelJob(ctx, &ddpmv1.CancelJobRequest{Id: id})
		return r.GetJob(), err
	})
}

// oneCommand makes a command that does something with a job and prints the job.
func (f *jobsFlags) oneCommand(name, short string, do func(context.Context, ddpmv1.JobsClient, string) (*ddpmv1.JobStatus, error)) *cobra.Command {
	return &cobra.Command{
		Use:     name + " ID",
		Example: "  ddpmctl jobs " + name + " ID",
		Short:   short,
		Args:    oneJob,
		RunE: func(c *cobra.Command, args []string) error {
			return f.ask(c.Context(), func(ctx context.Context, jobs ddpmv1.JobsClient) error {
				s, err := do(ctx, jobs, args[0])
				if err != nil {
					return err
				}
				return f.show(s)
			})
		},
	}
}

func (f *jobsFlags) watchCommand() *cobra.Command {
	var preview bool
	var uri string
	c := &cobra.Command{
		Use:     "watch ID",
		Example: "  ddpmctl jobs watch ID\n  ddpmctl jobs watch ID --preview",
		Short:   "Follow a job until it has ended",
		Long: "Watch shows how far a job is, its images and steps a second, and how long it will take. With --preview\n" +
			"it draws finished images into a terminal that has colours, as they come.",
		Args: oneJob,
		RunE: func(c *cobra.Command, args []string) error {
			show := jobBar(f.stderr)
			switch {
			case f.json: // a line each time
				e := json.NewEncoder(f.stdout)
				show = func(s *ddpmv1.JobStatus) { _ = e.Encode(pool.NewView(s)) } // a reader that is gone
			case preview:
				show = (&previewer{ctx: c.Context(), out: f.stderr, uri: uri, columns: columns(f.stderr)}).show
			}
			s, err := f.admin.watch(c.Context(), args[0], show, &idle{limit: idleLimit, stderr: f.stderr})
			if err != nil || f.json {
				return err
			}
			return f.show(s)
		},
	}
	c.Flags().BoolVar(&preview, "preview", false, "draw finished images into the terminal")
	c.Flags().StringVar(&uri, "storage", "", "with --preview: the Store as this machine reaches it (default: as the coordinator does)")
	return c
}

func (f *jobsFlags) fetchCommand() *cobra.Command {
	var out sampleOutput
	var uri string
	c := &cobra.Command{
		Use:     "fetch ID --out PATH",
		Example: "  ddpmctl jobs fetch ID --out drawn",
		Short:   "Wait for a job and fetch its files",
		Args:    oneJob,
		RunE: func(c *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return usageError{err}
			}
			s, err := f.admin.watch(c.Context(), args[0], jobBar(f.stderr), &idle{limit: idleLimit, stderr: f.stderr})
			if err != nil {
				return err
			}
			return fetched(c.Context(), s, &out, uri, f.stdout, f.stderr)
		},
	}
	c.Flags().StringVar(&out.path, "out", "", fmt.Sprintf("the PNG, of the first %d images, or the folder to write; it must not exist (needed)", job.MaxGrid))
	c.Flags().StringVar(&uri, "storage", "", "the Store as this machine reaches it (default: as the coordinator does)")
	return c
}

func oneJob(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usageError{errors.New("give the id of one job; see ddpmctl jobs list")}
	}
	return nil
}

func (f *jobsFlags) ask(ctx context.Context, do func(context.Context, ddpmv1.JobsClient) error) error {
	return f.admin.ask(ctx, func(ctx context.Context, _ string, conn *grpc.ClientConn) error {
		return do(ctx, ddpmv1.NewJobsClient(conn))
	})
}

// show prints one job.
func (f *jobsFlags) show(s *ddpmv1.JobStatus) error {
	l := pool.NewView(s)
	if f.json {
		return printJSON(f.stdout, l)
	}
	w := tabwriter.NewWriter(f.stdout, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(w, name+"\t"+format+"\n", args...) }
	row("job", "%s", l.ID)
	row("state", "%s", strings.TrimSpace(l.State+" "+l.Reason))
	run, step := l.Checkpoint()
	row("run", "%s, step %d", run, step)
	row("what", "%s", l.What())
	row("images", "%d of %d", l.ImagesDone, l.Images)
	if l.ImagesPerSecond > 0 {
		row("speed", "%s", speed(s))
	}
	row("files", "%s in %s", l.Prefix, l.Storage)
	return w.Flush()
}
