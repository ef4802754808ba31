package main

import (
	"bytes"
	"fmt"
	"math"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/report"
)

// shownGenerations is how many generations a page has at most.
const shownGenerations = 8

// page is a status for people.
type page struct {
	text bytes.Buffer
	now  time.Time
	// full shows every worker; a screen has place for those that matter most.
	full bool
}

// shownWorkers is how many workers a page has that is not full.
const shownWorkers = 20

func (p *page) line(format string, args ...any) { fmt.Fprintf(&p.text, format+"\n", args...) }

func (p *page) status(s report.Status) {
	p.line("run %s · %s · generation %d", s.Run, s.Phase, s.Generation)
	if s.Reason != "" {
		p.line("%s", s.Reason)
	}
	p.line("step %s of %s (%s) · loss %s · %s images/s · %s left",
		humanize.Comma(int64(s.Step)), humanize.Comma(int64(s.Steps)), percent(s.Step, s.Steps), value(s.LossMean, "%.4f"), value(s.ImagesPerSecond, "%.1f"), seconds(s.SecondsLeft))
	if s.SecondsPerStep.Finite() {
		p.line("a step takes %s: compute %s, all-reduce %s, update %s", short(s.SecondsPerStep), short(s.Stages.Compute), short(s.Stages.Reduce), short(s.Stages.Update))
	}
	if s.AllReduce != "" {
		p.line("all-reduce  %s", s.AllReduce)
	}
	if s.Skipped > 0 {
		p.line("%s skipped: the gradient overflowed", english.Plural(int(s.Skipped), "step", ""))
	}
	p.checkpoint(s)
	p.workers(s)
	p.gone(s)
	p.generations(s)
}

func (p *page) checkpoint(s report.Status) {
	c := s.Checkpoint
	if c == nil {
		p.line("no checkpoint yet")
	} else {
		p.text.WriteString("newest checkpoint: step " + humanize.Comma(int64(c.Step)))
		if c.At != nil {
			p.text.WriteString(", " + p.ago(*c.At))
		}
		p.line(", %s, %.19s", humanize.IBytes(uint64(c.Bytes)), c.Digest)
	}
	if s.GivenUp > 0 {
		were := "were"
		if s.GivenUp == 1 {
			were = "was"
		}
		p.line("%s %s given up, the last one of %s", english.Plural(int(s.GivenUp), "checkpoint", ""), were, s.LastGivenUp)
	}
}

func (p *page) workers(s report.Status) {
	if len(s.Workers) == 0 {
		p.line("no workers")
		return
	}
	p.line("")
	w := tabwriter.NewWriter(&p.text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "WORKER\tHOST\tPID\tCPU\tTHREADS\tSHARDS\tSHARDS/S\tSTEP\tSEEN")
	shown := s.Workers
	if !p.full {
		shown = shown[:min(len(shown), shownWorkers)]
	}
	for _, k := range shown {
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%d\t%d\t%.2f\t%d\t%s ago\n", k.ID, k.Hostname, k.PID, k.CPULevel, k.Threads, k.Shards, k.ShardRate, k.Step, short(report.Number(k.SeenSeconds)))
	}
	_ = w.Flush() // to memory
	if n := len(s.Workers) - len(shown); n > 0 {
		p.line("… and %d more; without --watch all are shown", n)
	}
}

func (p *page) gone(s report.Status) {
	if len(s.Gone) == 0 {
		return
	}
	p.line("\ngone:")
	for _, k := range s.Gone {
		when := ""
		if k.GoneAt != nil {
			when = p.ago(*k.GoneAt) + ": "
		}
		p.line("  %s on %s, %s%s", k.ID, k.Hostname, when, k.Gone)
	}
}

func (p *page) generations(s report.Status) {
	if len(s.History) == 0 {
		return
	}
	p.line("\ngenerations:")
	for _, g := range s.History[max(0, len(s.History)-shownGenerations):] {
		p.line("  %d, from step %s, %s, %s: %s", g.Number, humanize.Comma(int64(g.StartStep)), english.Plural(g.Members, "member", ""), p.ago(g.At), g.Reason)
	}
}

func (p *page) ago(t time.Time) string {
	return (max(0, p.now.Sub(t))).Round(time.Second).String() + " ago"
}

func percent(part, whole uint64) string {
	if whole == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f%%", 100*float64(part)/float64(whole))
}

func value(n report.Number, format string) string {
	if !n.Finite() {
		return "–"
	}
	return fmt.Sprintf(format, float64(n))
}

// seconds is a long time, to the second.
func seconds(n report.Number) string {
	if !n.Finite() || float64(n) > math.MaxInt64/float64(time.Second) {
		return "–"
	}
	return time.Duration(float64(n) * float64(time.Second)).Round(time.Second).String()
}

// short is a short time, to three digits.
func short(n report.Number) string {
	switch f := float64(n); {
	case !n.Finite():
		return "–"
	case f < 1:
		return fmt.Sprintf("%.3g ms", 1000*f)
	default:
		return fmt.Sprintf("%.3g s", f)
	}
}
