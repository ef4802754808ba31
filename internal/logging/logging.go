package logging

import (
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/term"
)

// The values of --log-format.
const (
	// Auto is text on a terminal, JSON elsewhere.
	Auto = "auto"
	Text = "text"
	JSON = "json"
)

// Variable names the environment variable that says what auto is.
const Variable = "DDPM_LOG_FORMAT"

// Usage is that of --log-format.
const Usage = "`FORMAT` of the log: text, json, or auto, which is what $" + Variable + " says, else text on a terminal and JSON elsewhere"

// Formats are the values of --log-format.
func Formats() []string { return []string{Auto, Text, JSON} }

// Valid says whether a value of --log-format is one. "" is text.
func Valid(format string) bool { return format == "" || slices.Contains(Formats(), format) }

// Terminal says whether people watch what is written.
func Terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Resolve is what a valid format means: Text or JSON.
func Resolve(format string, terminal bool, getenv func(string) string) string {
	if format == Auto {
		if said := getenv(Variable); said == Text || said == JSON {
			return said
		}
		if !terminal {
			return JSON
		}
	}
	if format == JSON {
		return JSON
	}
	return Text
}

// New makes a logger of a resolved format. On a terminal times are short, and a level is there only where
// it says something.
func New(w io.Writer, format string, terminal bool, level slog.Leveler) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if format == JSON {
		o.ReplaceAttr = inWords
		return slog.New(slog.NewJSONHandler(w, o))
	}
	if terminal {
		o.ReplaceAttr = forPeople
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// inWords is slog's ReplaceAttr for JSON: what has a text is that text, as in the other
// format, and no object of its fields. So is a number that JSON has none for.
func inWords(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindFloat64 {
		if f := a.Value.Float64(); math.IsNaN(f) || math.IsInf(f, 0) {
			return slog.String(a.Key, strconv.FormatFloat(f, 'g', -1, 64))
		}
		return a
	}
	if s, ok := a.Value.Any().(fmt.Stringer); ok && a.Value.Kind() != slog.KindTime {
		return slog.String(a.Key, s.String())
	}
	return a
}

// forPeople is slog's ReplaceAttr for a terminal.
func forPeople(groups []string, a slog.Attr) slog.Attr {
	switch {
	case len(groups) > 0:
	case a.Key == slog.TimeKey:
		return slog.String(slog.TimeKey, a.Value.Time().Format(time.TimeOnly))
	case a.Key == slog.LevelKey && a.Value.Any() == slog.LevelInfo:
		return slog.Attr{}
	}
	return a
}
