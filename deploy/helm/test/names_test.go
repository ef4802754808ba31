package chart

import (
	"strings"
	"testing"
)

// What can't be the beginning of a Service's name is told before anything is installed.
func TestNames(t *testing.T) {
	for _, name := range []string{"run.v2", "2fast", "a-", strings.Repeat("a", 41), "Run"} {
		if _, err := try(t, trial+"fullnameOverride: '"+name+"'\n"); err == nil || !strings.Contains(err.Error(), "fullnameOverride") {
			t.Errorf("fullnameOverride %q: %v", name, err)
		}
	}
	for _, name := range []string{"run.v2", "2fast", strings.Repeat("a", 38) + "--b"} {
		if _, err := tryAs(t, name, trial); err == nil || !strings.Contains(err.Error(), "set fullnameOverride") {
			t.Errorf("release %q: %v", name, err)
		}
		if _, err := tryAs(t, name, trial+"fullnameOverride: run-v2\n"); err != nil {
			t.Errorf("release %q with a name of its own: %v", name, err)
		}
	}
	for _, name := range []string{"a", "run-2", strings.Repeat("a", 40)} {
		if _, err := try(t, trial+"fullnameOverride: "+name+"\n"); err != nil {
			t.Errorf("fullnameOverride %q: %v", name, err)
		}
	}
}
