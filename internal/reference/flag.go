package reference

import (
	"regexp"
	"strings"

	"github.com/spf13/pflag"
)

// Flag is a flag as people read of it.
type Flag struct {
	Name, Short string
	// Unit is what its value is or counts; "" for a flag that has none.
	Unit string
	// Default is "" where there is none, and "needed" for one that must be given.
	Default string
	Meaning string
}

var (
	saidDefault = regexp.MustCompile(`,? ?\(default: ((?:[^()]|\([^()]*\))*)\)`)
	saidNeeded  = regexp.MustCompile(` \(needed\b([^()]*)\)`)
)

// Describe reads a flag.
func Describe(f *pflag.Flag) Flag {
	unit, usage := pflag.UnquoteUsage(f)
	d := Flag{Name: f.Name, Short: f.Shorthand, Unit: plain(unit), Default: plainDefault(f)}
	if m := saidDefault.FindStringSubmatch(usage); m != nil {
		d.Default, usage = m[1], strings.Replace(usage, m[0], "", 1)
	}
	if m := saidNeeded.FindStringSubmatch(usage); m != nil {
		d.Default, usage = "needed"+m[1], strings.Replace(usage, m[0], "", 1)
	}
	d.Meaning = usage
	return d
}

// plain is a unit without the names that Go has for numbers' sizes.
func plain(unit string) string {
	switch unit {
	case "int", "uint", "uint64", "float":
		return "number"
	case "strings":
		return "text,…"
	case "ints":
		return "number,…"
	case "string":
		return "text"
	}
	return unit
}

// plainDefault is pflag's default, "" where that is the type's zero.
func plainDefault(f *pflag.Flag) string {
	switch f.DefValue {
	case "0", "0s", "[]":
		return ""
	case "false":
		return "off"
	case "true":
		return "on"
	}
	text := f.DefValue
	for _, zero := range []string{"m0s", "h0m"} { // of a duration: 30m0s, 1h0m0s
		if rest, ok := strings.CutSuffix(text, zero); ok {
			text = rest + zero[:1]
		}
	}
	return text
}

// Title is the flag as it is typed.
func (f Flag) Title() string {
	title := "--" + f.Name
	if f.Short != "" {
		title = "-" + f.Short + ", " + title
	}
	if f.Unit != "" {
		title += " " + f.Unit
	}
	return title
}
