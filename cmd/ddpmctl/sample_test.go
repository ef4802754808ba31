package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
)

// What is refused before any run is looked for, and leaves nothing behind.
func TestSampleRefuses(t *testing.T) {
	folder := t.TempDir()
	there := filepath.Join(folder, "there.png")
	if err := os.WriteFile(there, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(folder, "out")
	for says, args := range map[string][]string{
		"--out is needed":    nil,
		"there already":      {"--out", there},
		"no folder":          {"--out", filepath.Join(folder, "no", "out")},
		"ends in .png":       {"--out", out + ".gif"},
		"--n 0":              {"--out", out, "--n", "0"},
		"--n 10000000":       {"--out", out, "--n", "10000000"},
		"--steps -1":         {"--out", out, "--steps", "-1"},
		"--threads 0":        {"--out", out, "--threads", "0"},
		"file of its own":    {"--out", out + ".png", "--trajectory", "5"},
		"name one":           {"--out", out, "--interpolate", "1", "--sampler", "ddim", "--class", "3,8"},
		"--n 1025":           {"--out", out + ".png", "--n", "1025"},
		"give --out a fold":  {"--out", "-", "--n", "2000"},
		"invalid argument":   {"--out", out, "--eta", "much"},
		"unknown flag":       {"--out", out, "--pictures", "5"},
		"unexpected argumen": {"--out", out, "digits"},
	} {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), append([]string{"sample", "--storage", folder}, args...), &stdout, &stderr)
		if code != exitUsage || !strings.Contains(stderr.String(), says) {
			t.Errorf("%v: exit code %d, %q; want %q", args, code, stderr.String(), says)
		}
	}
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 1 {
		t.Errorf("the folder holds %v, %v; want what was there", entries, err)
	}
	if b, err := os.ReadFile(there); err != nil || string(b) != "mine" {
		t.Errorf("the file that was there holds %q, %v", b, err)
	}
}

// Images are drawn as the run's scheduler says, unless the command says otherwise.
func TestSampleClipsAsTheRunDoes(t *testing.T) {
	for _, noClip := range []bool{false, true} {
		p, err := ddpm.FindPreset("tiny")
		if err != nil {
			t.Fatal(err)
		}
		p.Spec.Diffusion.NoClip = noClip
		folder := t.TempDir()
		publish(t, folder, p.Spec)
		for arg, want := range map[string]bool{"": !noClip, "--clip": true, "--clip=false": false} {
			out := filepath.Join(t.TempDir(), "out")
			args := []string{"sample", "--storage", folder, "--sampler", "ddim", "--steps", "2", "--n", "1", "--threads", "1", "--out", out}
			if arg != "" {
				args = append(args, arg)
			}
			var stdout, stderr bytes.Buffer
			if code := run(t.Context(), args, &stdout, &stderr); code != 0 {
				t.Fatalf("exit code %d, %s", code, stderr.String())
			}
			var j struct {
				Settings struct {
					Clip *bool `json:"clip"`
				} `json:"settings"`
			}
			text, err := os.ReadFile(filepath.Join(out, "job.json"))
			if err == nil {
				err = json.Unmarshal(text, &j)
			}
			if err != nil || j.Settings.Clip == nil || *j.Settings.Clip != want {
				t.Errorf("no_clip %v, %q: %v, want clip %v in\n%s", noClip, arg, err, want, text)
			}
		}
	}
}
