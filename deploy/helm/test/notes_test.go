package chart

import (
	"strings"
	"testing"
)

// With standbys the first pod need not lead, and what is told to be asked of it says so.
func TestNotesOnStandbys(t *testing.T) {
	const hint = "whose log says that it leads"
	for values, want := range map[string]int{trial: 0, trial + "coordinator: {standbys: 1}\n": 2} {
		files, err := try(t, values)
		if err != nil {
			t.Fatal(err)
		}
		if text := files["ddpm/templates/NOTES.txt"]; strings.Count(text, hint) != want || !strings.Contains(text, "/ddpmctl sample") {
			t.Errorf("%d hints, want %d:\n%s", strings.Count(text, hint), want, text)
		}
	}
}
