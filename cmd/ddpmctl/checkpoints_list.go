package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize/english"
	"github.com/spf13/cobra"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

// listed is a checkpoint as a list has it.
type listed struct {
	Step uint64 `json:"step"`
	// Complete says that the manifest is valid and every object there in its size;
	// verify also reads them.
	Complete bool   `json:"complete"`
	Reason   string `json:"reason,omitempty"` // why it is not
	Digest   string `json:"digest,omitempty"`
	Params   int64  `json:"params,omitempty"`
	Parts    int    `json:"parts,omitempty"`
	Objects  int    `json:"objects,omitempty"`
	Bytes    int64  `json:"bytes,omitempty"` // of its objects
	// At is when it was complete, Picture says that it has one.
	At      *time.Time `json:"at,omitempty"`
	Picture bool       `json:"picture,omitempty"`
}

func listedOf(m checkpoint.Manifest) listed {
	l := listed{Step: m.Step, Complete: true, Digest: m.Digest, Params: m.Params, Parts: m.Parts, Objects: len(m.Objects)}
	for _, o := range m.Objects {
		l.Bytes += o.Size
	}
	_, l.Picture = m.Object(checkpoint.SamplesKey)
	return l
}

// completed gives the times at which the run's manifests were written, by their keys.
func completed(ctx context.Context, store storage.Store, run string) (map[string]time.Time, error) {
	objects, err := store.List(ctx, checkpoint.CheckpointsPrefix(run))
	if err != nil {
		return nil, err
	}
	at := map[string]time.Time{}
	for _, o := range objects {
		if strings.HasSuffix(o.Key, "/"+checkpoint.ManifestKey) && !o.ModTime.IsZero() {
			at[o.Key] = o.ModTime.UTC()
		}
	}
	return at, nil
}

func listCommand(stdout io.Writer) *cobra.Command {
	var t target
	out := output{stdout: stdout}
	c := &cobra.Command{
		Use:     "list",
		Short:   "List a run's checkpoints",
		Long:    "List shows a run's checkpoints, by their manifests and the sizes of their objects. To read\nand check every object, use verify.",
		Example: "  ddpmctl checkpoints list --storage ddpm-data --run digits",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			f, err := t.open(c.Context())
			if err != nil {
				return err
			}
			whole, skipped, err := checkpoint.List(c.Context(), f.store, t.run)
			if err != nil {
				return err
			}
			times, err := completed(c.Context(), f.store, t.run)
			if err != nil {
				return err
			}
			all := []listed{}
			for _, m := range whole {
				l := listedOf(m)
				if at, ok := times[checkpoint.StepPrefix(t.run, m.Step)+checkpoint.ManifestKey]; ok {
					l.At = &at
				}
				all = append(all, l)
			}
			for _, s := range skipped {
				all = append(all, listed{Step: s.Step, Reason: s.Reason})
			}
			slices.SortFunc(all, func(a, b listed) int { return cmp.Compare(a.Step, b.Step) })
			return out.print(all, func() { printList(stdout, t.run, all) })
		},
	}
	t.runFlags(c)
	out.flags(c)
	return c
}

func printList(stdout io.Writer, run string, all []listed) {
	if len(all) == 0 {
		fmt.Fprintf(stdout, "run %s has no checkpoint\n", run)
		return
	}
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "STEP\tSIZE\tDIGEST\tSTATE")
	for _, l := range all {
		if !l.Complete {
			fmt.Fprintf(w, "%d\t-\t-\t%s\n", l.Step, why(l.Reason))
			continue
		}
		state := "complete"
		if l.At != nil {
			state += " " + l.At.Format("2006-01-02 15:04:05Z")
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\n", l.Step, size(l.Bytes), beginning(l.Digest), state)
	}
	_ = w.Flush() // it only fails where stdout does
}

// beginning is that of a digest or a hash, which fits into a line; JSON has the whole.
func beginning(digest string) string { return fmt.Sprintf("%.19s", digest) }

// why is a checkpoint's fault without the words that all of them begin with.
func why(reason string) string {
	return strings.TrimPrefix(reason, checkpoint.ErrCorrupt.Error()+": ")
}

// shown is a checkpoint with all there is to know of it without reading its state.
type shown struct {
	listed
	Run   string              `json:"run"`
	Place string              `json:"place"`
	All   []checkpoint.Object `json:"contents"`
	Spec  ddpm.Spec           `json:"config"`
}

func showCommand(stdout io.Writer) *cobra.Command {
	var t target
	out := output{stdout: stdout}
	c := &cobra.Command{
		Use:     "show",
		Short:   "Show what a checkpoint holds",
		Example: "  ddpmctl checkpoints show --storage ddpm-data --run digits --step 500",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			f, err := t.find(c.Context(), c, func(found) error { return nil })
			if err != nil {
				return err
			}
			m := f.manifest
			v := shown{listed: listedOf(m), Run: t.run, Place: f.store.String() + "/" + checkpoint.StepPrefix(m.Run, m.Step), All: m.Objects, Spec: f.spec}
			return out.print(v, func() { v.text(stdout) })
		},
	}
	t.flags(c)
	out.flags(c)
	return c
}

func (v shown) text(stdout io.Writer) {
	fmt.Fprintf(stdout, "run      %s, step %d, %s\nplace    %s\ndigest   %s\n", v.Run, v.Step, size(v.Bytes), v.Place, v.Digest)
	fmt.Fprintf(stdout, "model    %dx%dx%d, channels %v, %d parameters; state in %s\n",
		v.Spec.Model.Size, v.Spec.Model.Size, v.Spec.Model.InChannels, v.Spec.Model.Channels, v.Params, english.Plural(v.Parts, "part", ""))
	fmt.Fprintf(stdout, "preset   %s, seed %d\ndataset  %s\n\n", v.Spec.Preset, v.Spec.Seed, v.Spec.Dataset)
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "OBJECT\tSIZE\tSHA-256")
	for _, o := range v.All {
		fmt.Fprintf(w, "%s\t%s\t%s\n", o.Key, size(o.Size), beginning(o.SHA256))
	}
	_ = w.Flush() // it only fails where stdout does
}
