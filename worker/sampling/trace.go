package sampling

import (
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/ddpm-cluster/ddpm-cluster/internal/tracing"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// stages are what was done of a task, in turn.
type stages []tracing.Span

// add ends a stage.
func (s *stages) add(name string, began time.Time, err error) {
	*s = append(*s, tracing.Since(began, name, err))
}

// trace draws a task: finding its weights, the network's passes, and what went to the
// Store.
func (w *worker) trace(l *ddpmv1.Lease, began time.Time, s stages, err error) {
	task := tracing.Since(began, "task", err,
		attribute.String("job", l.GetJobId()), attribute.Int("task", int(l.GetTask())), attribute.Int("images", int(l.GetCount())))
	task.Parts = s
	w.config.Tracer.Draw(tracing.Task(l.GetJobId(), l.GetTask()), task)
}
