package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/internal/s3test"
)

const (
	// limit bounds whatever a test waits for.
	limit     = 10 * time.Minute
	namespace = "ddpm-test"
	release   = "digits"
	name      = "digits-ddpm" // of what the chart makes
	root      = "../.."
)

// cluster is a Kubernetes, reached by the user's tools.
type cluster struct {
	t                   *testing.T
	kubectl, helm, load []string
	bin                 string // the product's commands
	local               string // of the run on this machine
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	load := strings.Fields(os.Getenv("KUBE_IMAGE_LOAD"))
	if os.Getenv("KUBECONFIG") == "" || len(load) == 0 {
		t.Skip("KUBECONFIG and KUBE_IMAGE_LOAD name no cluster: see doc.go")
	}
	c := &cluster{t: t, kubectl: command("KUBE_KUBECTL", "kubectl"), helm: command("KUBE_HELM", "helm"), load: load, bin: os.Getenv("KUBE_BINARIES"), local: t.TempDir()}
	for _, tool := range []string{c.kubectl[0], c.helm[0]} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("there is no %s: see doc.go", tool)
		}
	}
	minio, err := s3test.MinIO().CachePath()
	if err == nil {
		_, err = os.Stat(minio)
	}
	if err != nil {
		t.Skipf("there is no MinIO (%v): make test-deps", err)
	}
	if c.bin == "" {
		c.bin = t.TempDir()
		build := exec.Command("go", "build", "-trimpath", "-o", c.bin+string(filepath.Separator), "./cmd/...")
		build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("go build: %v\n%s", err, out)
		}
	}
	var commands []string
	for _, name := range []string{"ddpm-coordinator", "ddpm-worker", "ddpmctl"} {
		commands = append(commands, filepath.Join(c.bin, name))
	}
	c.run(c.load, append([]string{"ddpm-cluster:one"}, commands...)...)
	c.run(c.load, append([]string{"ddpm-cluster:two"}, commands...)...)
	c.run(c.load, "minio:test", minio)
	return c
}

// command is a tool with its first arguments.
func command(variable, otherwise string) []string {
	if fields := strings.Fields(os.Getenv(variable)); len(fields) > 0 {
		return fields
	}
	return []string{otherwise}
}

// try runs a tool and returns its standard output.
func (c *cluster) try(tool []string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, tool[0], append(append([]string{}, tool[1:]...), args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w: %s", strings.Join(tool, " "), strings.Join(args, " "), err, errs.String())
	}
	return out.String(), nil
}

func (c *cluster) run(tool []string, args ...string) string {
	c.t.Helper()
	out, err := c.try(tool, args...)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// k is kubectl in the test's namespace.
func (c *cluster) k(args ...string) string {
	c.t.Helper()
	return c.run(c.kubectl, append([]string{"-n", namespace}, args...)...)
}

func (c *cluster) h(args ...string) string {
	c.t.Helper()
	return c.run(c.helm, append([]string{"-n", namespace}, args...)...)
}

// inPod runs a command of the product in the coordinator's pod.
func (c *cluster) inPod(args ...string) (string, error) {
	return c.try(c.kubectl, append([]string{"-n", namespace, "exec", name + "-coordinator-0", "-c", "coordinator", "--"}, args...)...)
}

// names lists objects of a kind in the namespace.
func (c *cluster) names(kind string) []string {
	c.t.Helper()
	return strings.Fields(c.k("get", kind, "-o", `jsonpath={range .items[*]}{.metadata.name}{"\n"}{end}`))
}

// fresh makes the namespace, under Pod Security "restricted", and removes it at the end.
func (c *cluster) fresh() {
	c.t.Helper()
	if err := c.remove(); err != nil {
		c.t.Fatal(err)
	}
	c.run(c.kubectl, "create", "namespace", namespace)
	c.run(c.kubectl, "label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted", "pod-security.kubernetes.io/enforce-version=latest")
	c.t.Cleanup(func() {
		if c.t.Failed() {
			c.t.Log(c.everything())
		}
		if err := c.remove(); err != nil {
			c.t.Error(err)
		}
	})
}

// remove removes the namespace. Pods get no time to end: workers whose coordinator is gone
// would take all of their grace.
func (c *cluster) remove() error {
	for _, args := range [][]string{
		{"-n", namespace, "delete", "deployments,statefulsets,jobs", "--all", "--cascade=orphan"},
		{"-n", namespace, "delete", "replicasets", "--all", "--cascade=orphan"},
		{"-n", namespace, "delete", "pods", "--all", "--grace-period=0", "--force"},
		{"delete", "namespace", namespace, "--ignore-not-found", "--timeout=5m"},
	} {
		if _, err := c.try(c.kubectl, args...); err != nil {
			return err
		}
	}
	return nil
}

// everything is what to look at when something went wrong.
func (c *cluster) everything() string {
	var all strings.Builder
	for _, args := range [][]string{{"get", "all,pvc,job", "-o", "wide"}, {"get", "events", "--sort-by=.lastTimestamp"}, {"logs", "--all-containers", "--prefix", "--tail=60", "-l", "app.kubernetes.io/instance=" + release}} {
		out, err := c.try(c.kubectl, append([]string{"-n", namespace}, args...)...)
		fmt.Fprintf(&all, "--- %v (%v)\n%s\n", args, err, out)
	}
	return all.String()
}

// status is what this test reads of the run's.
type status struct {
	Phase   string `json:"phase"`
	Reason  string `json:"reason"`
	Step    uint64 `json:"step"`
	Workers []struct {
		Hostname string `json:"hostname"`
		Rank     int    `json:"rank"` // -1: not of the generation
	} `json:"workers"`
	History []struct {
		StartStep uint64 `json:"start_step"`
		Reason    string `json:"reason"`
	} `json:"history"`
	Checkpoint *struct {
		Step    uint64 `json:"step"`
		Picture bool   `json:"picture"`
	} `json:"checkpoint"`
}

// has says that a pod is among the workers.
func (s status) has(pod string) bool {
	for _, w := range s.Workers {
		if w.Hostname == pod {
			return true
		}
	}
	return false
}

func (c *cluster) status() (s status, err error) {
	text, err := c.inPod("/ddpmctl", "status", "--config", "/data/admin.conf", "--json")
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal([]byte(text), &s)
}

// await waits until the status is as it should be.
func (c *cluster) await(what string, good func(status) bool) status {
	c.t.Helper()
	last := "nothing"
	for begin := time.Now(); time.Since(begin) < limit; time.Sleep(time.Second) {
		s, err := c.status()
		if err == nil && good(s) {
			c.t.Logf("%s: after %.1f s, at step %d, %s", what, time.Since(begin).Seconds(), s.Step, s.Phase)
			return s
		}
		last = fmt.Sprintf("%+v, %v", s, err)
	}
	c.t.Fatalf("waited for %s; the status is %s", what, last)
	return status{}
}

// trains is a status in which so many workers train, past a step.
func trains(workers int, past uint64) func(status) bool {
	return func(s status) bool {
		members := 0
		for _, w := range s.Workers {
			if w.Rank >= 0 {
				members++
			}
		}
		return s.Phase == "training" && len(s.Workers) == workers && members == workers && s.Step > past
	}
}

var forwarding = regexp.MustCompile(`Forwarding from 127\.0\.0\.1:(\d+)`)

// forward makes a port of a pod or service one of this machine, until stop is called.
func (c *cluster) forward(what, port string) (address string, stop func()) {
	c.t.Helper()
	cmd := exec.Command(c.kubectl[0], append(append([]string{}, c.kubectl[1:]...), "-n", namespace, "port-forward", what, ":"+port)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	stop = func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) // it may have ended
		_ = cmd.Wait()
	}
	defer time.AfterFunc(time.Minute, stop).Stop()
	line := make([]byte, 256)
	n, err := out.Read(line)
	at := forwarding.FindSubmatch(line[:n])
	if at == nil {
		stop()
		c.t.Fatalf("port-forward %s %s: %v, %q, %s", what, port, err, line[:n], &errs)
	}
	return "127.0.0.1:" + string(at[1]), stop
}
