package logging

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestResolve(t *testing.T) {
	for _, v := range []struct {
		format   string
		terminal bool
		variable string
		want     string
	}{
		{Auto, true, "", Text},
		{Auto, false, "", JSON},
		{Auto, false, Text, Text},
		{Auto, true, JSON, JSON},
		{Auto, true, "nonsense", Text},
		{Text, false, JSON, Text},
		{JSON, true, Text, JSON},
		{"", false, JSON, Text},
	} {
		if got := Resolve(v.format, v.terminal, func(string) string { return v.variable }); got != v.want {
			t.Errorf("%+v: %s", v, got)
		}
	}
}

// A number that JSON has none for is told, since it is what went wrong.
func TestWhatIsNoNumber(t *testing.T) {
	var out bytes.Buffer
	New(&out, JSON, false, slog.LevelInfo).Info("x", "nan", math.NaN(), "inf", math.Inf(-1), "half", 0.5)
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil || line["nan"] != "NaN" || line["inf"] != "-Inf" || line["half"] != 0.5 {
		t.Errorf("%v: %s", err, &out)
	}
}

// Each line says run, generation, step and worker, where it does not say them itself.
func TestWhere(t *testing.T) {
	var out bytes.Buffer
	var w Where
	log := w.Logger(New(&out, JSON, false, slog.LevelInfo))
	next := func() (line map[string]any) {
		t.Helper()
		if err := json.Unmarshal(out.Bytes(), &line); err != nil {
			t.Fatalf("%v in %q", err, &out)
		}
		out.Reset()
		return line
	}
	log.Info("before")
	if l := next(); l["run"] != nil || l["step"] != nil {
		t.Errorf("%v", l)
	}
	w.Name("digits", "w1")
	w.Generation(3)
	w.Step(7)
	log.With("a", 1).Warn("then", "b", 2)
	if l := next(); l["run"] != "digits" || l["worker"] != "w1" || l["generation"] != 3.0 || l["step"] != 7.0 || l["a"] != 1.0 || l["b"] != 2.0 || l["level"] != "WARN" {
		t.Errorf("%v", l)
	}
	log.Info("its own", "step", 9, "worker", "w2")
	if l := next(); l["step"] != 9.0 || l["worker"] != "w2" || l["generation"] != 3.0 {
		t.Errorf("%v", l)
	}
}

// What has a text is that text in JSON too; times stay those of the log.
func TestJSONHasTexts(t *testing.T) {
	var out bytes.Buffer
	New(&out, JSON, false, slog.LevelInfo).Info("a", "within", 5*time.Second, "at", &url.URL{Host: "h"}, "n", 3, "err", errors.New("no luck"))
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	if line["within"] != "5s" || line["at"] != "//h" || line["n"] != 3.0 || line["err"] != "no luck" || line["level"] != "INFO" {
		t.Errorf("%v", line)
	}
	if _, err := time.Parse(time.RFC3339Nano, line["time"].(string)); err != nil {
		t.Error(err)
	}
}

func TestTerminal(t *testing.T) {
	var out bytes.Buffer
	log := New(&out, Text, true, slog.LevelInfo)
	log.Info("a")
	if text := out.String(); strings.Contains(text, "level") || strings.Contains(text, "T") {
		t.Errorf("%q", text)
	}
	log.Warn("b")
	if !strings.Contains(out.String(), "level=WARN") {
		t.Errorf("%q", &out)
	}
}
