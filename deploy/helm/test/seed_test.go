package chart

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A seed comes to the coordinator as it was given, all 64 bits of it, or is refused.
func TestSeed(t *testing.T) {
	command := filepath.Join(commands(t), "ddpm-coordinator")
	for given, want := range map[string]string{
		"0": "0", "9007199254740991": "9007199254740991", `"7"`: "7",
		`"9007199254740993"`: "9007199254740993", `"18446744073709551615"`: "18446744073709551615",
	} {
		text, _ := runYAML(t, render(t, inS3+"config: {seed: "+given+"}\n"), "r-ddpm-run")
		file := filepath.Join(t.TempDir(), "run.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(command, "--config", file, "--storage", filepath.Join(t.TempDir(), "none"), "--dry-run").CombinedOutput()
		if setting := "seed: " + want + "\n"; err != nil || !strings.Contains(text+"\n", setting) || !strings.Contains(string(out), setting) {
			t.Errorf("seed: %s is not in the run's file, or not what the coordinator makes of it: %v\n%s\n%s", given, err, text, out)
		}
	}
	for _, given := range []string{"9007199254740993", "1234567890123456789", "-1", "1.5", `"-1"`, `"1e3"`, `"007"`, `"seven"`, `""`} {
		if _, err := try(t, inS3+"config: {seed: "+given+"}\n"); err == nil || !strings.Contains(err.Error(), "/config/seed") {
			t.Errorf("seed: %s: %v", given, err)
		}
	}
}
