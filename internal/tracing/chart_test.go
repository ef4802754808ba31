package tracing

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"sync/atomic"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/internal/tracing/tracetest"
)

// charted sets the variables that the chart gives its pods for monitoring.traces.
func charted(t *testing.T, endpoint, protocol string) {
	t.Helper()
	text, err := os.ReadFile("../../deploy/helm/ddpm/templates/_helpers.tpl")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{}
	for _, m := range regexp.MustCompile(`{name: (OTEL_\w+), value: {{ \.(\w+) \| quote }}}`).FindAllStringSubmatch(string(text), -1) {
		names[m[2]] = m[1]
	}
	for value, given := range map[string]string{"endpoint": endpoint, "protocol": protocol} {
		if names[value] == "" {
			t.Fatalf("the chart sets no variable to monitoring.traces.%s", value)
		}
		t.Setenv(names[value], given)
	}
}

// What the chart sets sends spans to a collector's address without a path, by either
// protocol.
func TestChart(t *testing.T) {
	draw := func() {
		tracer := Open(t.Context(), Process{Service: "s"}, discard)
		tracer.Draw("a", example())
		tracer.Close()
	}
	t.Run("grpc", func(t *testing.T) {
		c := tracetest.Start(t)
		charted(t, c.Endpoint, "grpc")
		draw()
		if spans := c.Spans(); len(tracetest.Named(spans, "whole")) != 1 {
			t.Errorf("arrived: %+v", spans)
		}
	})
	t.Run("http/protobuf", func(t *testing.T) {
		var arrived atomic.Int64
		mux := http.NewServeMux()
		mux.HandleFunc("POST /v1/traces", func(_ http.ResponseWriter, r *http.Request) {
			if body, err := io.ReadAll(r.Body); err == nil && bytes.Contains(body, []byte("whole")) {
				arrived.Add(1)
			}
		})
		collector := httptest.NewServer(mux)
		defer collector.Close()
		charted(t, collector.URL, "http/protobuf")
		draw()
		if n := arrived.Load(); n != 1 {
			t.Errorf("%d requests with the span arrived at /v1/traces", n)
		}
	})
}
