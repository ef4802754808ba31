package tracetest

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
)

// Span is a span that arrived.
type Span struct {
	Name              string
	Trace, ID, Parent string // Parent is "" for a root
	Begin, End        time.Time
	// Failed is why it failed, "" if it did not.
	Failed string
	// Attributes are the span's, Resource the process', as text.
	Attributes, Resource map[string]string
}

// Collector keeps spans.
type Collector struct {
	collector.UnimplementedTraceServiceServer
	// Endpoint is its URL.
	Endpoint string

	mu    sync.Mutex
	spans []Span
}

// Start starts a collector for as long as the test runs.
func Start(t testing.TB) *Collector {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &Collector{Endpoint: "http://" + l.Addr().String()}
	g := grpc.NewServer()
	collector.RegisterTraceServiceServer(g, c)
	served := make(chan error, 1)
	go func() { served <- g.Serve(l) }()
	t.Cleanup(func() {
		g.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return c
}

// Use lets this process, and its children, send their traces to the collector.
func (c *Collector) Use(t testing.TB) {
	t.Helper()
	for _, v := range c.Environment() {
		t.Setenv(v[0], v[1])
	}
}

// Environment are the variables that name the collector, with their values.
func (c *Collector) Environment() [][2]string {
	return [][2]string{{"OTEL_EXPORTER_OTLP_ENDPOINT", c.Endpoint}, {"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"}}
}

// Export implements collector.TraceServiceServer.
func (c *Collector) Export(_ context.Context, q *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range q.GetResourceSpans() {
		resource := texts(r.GetResource().GetAttributes())
		for _, scope := range r.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				c.spans = append(c.spans, arrived(s, resource))
			}
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

func arrived(s *otlp.Span, resource map[string]string) Span {
	a := Span{
		Name: s.GetName(), Trace: fmt.Sprintf("%x", s.GetTraceId()), ID: fmt.Sprintf("%x", s.GetSpanId()), Parent: fmt.Sprintf("%x", s.GetParentSpanId()),
		Begin: time.Unix(0, int64(s.GetStartTimeUnixNano())), End: time.Unix(0, int64(s.GetEndTimeUnixNano())),
		Attributes: texts(s.GetAttributes()), Resource: resource,
	}
	if s.GetStatus().GetCode() == otlp.Status_STATUS_CODE_ERROR {
		a.Failed = s.GetStatus().GetMessage()
	}
	return a
}

func texts(attributes []*common.KeyValue) map[string]string {
	m := map[string]string{}
	for _, a := range attributes {
		switch v := a.GetValue().GetValue().(type) {
		case *common.AnyValue_StringValue:
			m[a.GetKey()] = v.StringValue
		case *common.AnyValue_IntValue:
			m[a.GetKey()] = fmt.Sprint(v.IntValue)
		default:
			m[a.GetKey()] = a.GetValue().String()
		}
	}
	return m
}

// Spans are those that have arrived, in the order of their beginnings.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := slices.Clone(c.spans)
	slices.SortStableFunc(all, func(a, b Span) int { return a.Begin.Compare(b.Begin) })
	return all
}

// Named are the spans of a name among some.
func Named(spans []Span, name string) (found []Span) {
	for _, s := range spans {
		if s.Name == name {
			found = append(found, s)
		}
	}
	return found
}

// Parts are the names of a span's parts among some, in order.
func Parts(spans []Span, whole Span) (names []string) {
	for _, s := range spans {
		if s.Parent == whole.ID {
			names = append(names, s.Name)
		}
	}
	return names
}
