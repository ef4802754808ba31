package kube

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// preset is the run's: checkpoints come soon, and their pictures come to show something.
const preset = "digits"

// steps are the run's: enough for everything that happens to it, also on a machine that has
// nothing else to do. KUBE_STEPS says otherwise.
func steps(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv("KUBE_STEPS"))
	if err != nil {
		return 2400
	}
	return n
}

// values are a trial on a small machine. Seven pods ask for more than half of two cores, so
// that the run comes on beside other work: what is requested is the weight in the cgroup.
const values = `
image: {repository: ddpm-cluster, tag: one}
config: {preset: digits, seed: 7, steps: %d, checkpoint-every: 100}
minio: {enabled: true, image: "minio:test", resources: {requests: {cpu: 20m, memory: 128Mi}, limits: {memory: 1Gi}}}
coordinator: {resources: {requests: {cpu: 20m, memory: 128Mi}, limits: {memory: 1Gi}}}
workers: {replicas: 3, resources: {requests: {cpu: 200m, memory: 128Mi}, limits: {memory: 1Gi}}}
samplers: {replicas: 1, resources: {requests: {cpu: 20m, memory: 128Mi}, limits: {memory: 1Gi}}}
`

// A run's whole life in a cluster. Each part goes on where the one before has left it.
func TestLifeOfARun(t *testing.T) {
	c := newCluster(t)
	c.fresh()
	n := steps(t)
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, values, n), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, part := range []struct {
		name string
		do   func(*cluster, string, int)
	}{
		{"install", (*cluster).installs},
		{"look", (*cluster).looks},
		{"scale", (*cluster).scales},
		{"lose", (*cluster).loses},
		{"upgrade", (*cluster).upgrades},
		{"secrets", (*cluster).keepsSecrets},
		{"end", (*cluster).ends},
		{"again", (*cluster).comesAgain},
	} {
		begin := time.Now()
		ok := t.Run(part.name, func(t *testing.T) {
			inner := *c
			inner.t = t
			part.do(&inner, file, n)
		})
		t.Logf("%s: %.0f s", part.name, time.Since(begin).Seconds())
		if !ok {
			t.FailNow()
		}
	}
}

// installs measures from the command to the first step.
func (c *cluster) installs(values string, _ int) {
	begin := time.Now()
	c.h("install", release, filepath.Join(root, "deploy", "helm", "ddpm"), "-f", values)
	c.t.Logf("helm install: %.1f s", time.Since(begin).Seconds())
	c.await("the first step", func(s status) bool { return s.Step >= 1 })
	c.t.Logf("from the command to the first step: %.1f s", time.Since(begin).Seconds())
}

// looks sees what people see, and asks for pictures.
func (c *cluster) looks(string, int) {
	c.await("a checkpoint with its picture", func(s status) bool { return s.Checkpoint != nil && s.Checkpoint.Picture })
	drawn, err := c.inPod("/ddpmctl", "sample", "--config", "/data/admin.conf", "--run", preset, "--sampler", "ddim", "--steps", "10", "--n", "4", "--out", "-")
	if err != nil {
		c.t.Fatal(err)
	}
	picture, err := png.Decode(strings.NewReader(drawn))
	if err != nil {
		c.t.Fatalf("what is drawn is no picture: %v", err)
	}
	c.t.Logf("the sampler drew a picture of %v", picture.Bounds().Size())
	c.seesDashboard()
	c.seesConsole(100)
	c.h("test", release)
}

// scales has more and fewer workers, and an upgrade for something else leaves them so.
func (c *cluster) scales(values string, _ int) {
	for _, workers := range []int{5, 2} {
		s, err := c.status()
		if err != nil {
			c.t.Fatal(err)
		}
		c.k("scale", "deployment/"+name+"-worker", fmt.Sprintf("--replicas=%d", workers))
		c.await(fmt.Sprintf("%d workers", workers), trains(workers, s.Step))
	}
	c.h("upgrade", release, filepath.Join(root, "deploy", "helm", "ddpm"), "-f", values, "--set", "podDisruptionBudget.maxUnavailableWorkers=2")
	if n := c.k("get", "deployment", name+"-worker", "-o", "jsonpath={.spec.replicas}"); n != "2" {
		c.t.Errorf("an upgrade made %s workers of 2", n)
	}
}

// loses takes a worker away at once, then the coordinator.
func (c *cluster) loses(string, int) {
	victim := c.worker()
	c.k("delete", "pod", victim, "--grace-period=0", "--force")
	s := c.await("that the lost worker is replaced", func(s status) bool { return trains(2, 0)(s) && !s.has(victim) })

	before := c.uid(name + "-coordinator-0")
	c.k("delete", "pod", name+"-coordinator-0")
	c.await("another coordinator", func(now status) bool { return c.uid(name+"-coordinator-0") != before && trains(2, s.Step)(now) })
}

// upgrades brings another image and more workers, while the run goes on.
func (c *cluster) upgrades(values string, n int) {
	s, err := c.status()
	if err != nil {
		c.t.Fatal(err)
	}
	args := []string{"upgrade", release, filepath.Join(root, "deploy", "helm", "ddpm"), "-f", values, "--set", "image.tag=two", "--set", "workers.replicas=4"}
	if !strings.HasPrefix(c.h("version", "--template", "{{.Version}}"), "v3") {
		args = append(args, "--force-conflicts") // the number of workers is kubectl's since it scaled
	}
	c.h(args...)
	c.k("rollout", "status", "deployment/"+name+"-worker", "--timeout=10m")
	c.k("rollout", "status", "statefulset/"+name+"-coordinator", "--timeout=10m")
	s = c.await("4 workers of another image", trains(4, s.Step))
	// A pod that was told to end before its process could hear of it takes all of its grace.
	if images := c.k("get", "pods", "-o", `go-template={{range .items}}{{if not .metadata.deletionTimestamp}}{{range .spec.containers}}{{.image}} {{end}}{{end}}{{end}}`); strings.Contains(images, ":one") {
		c.t.Errorf("after the upgrade: %s", images)
	}
	if s.Step >= uint64(n) {
		c.t.Errorf("the run had ended before everything had happened to it: give more KUBE_STEPS")
	}
}

// worker is a worker's pod that runs.
func (c *cluster) worker() string {
	c.t.Helper()
	pods := strings.Fields(c.k("get", "pods", "-l", "app.kubernetes.io/component=worker", "--field-selector=status.phase=Running", "-o",
		`go-template={{range .items}}{{if not .metadata.deletionTimestamp}}{{.metadata.name}}{{"\n"}}{{end}}{{end}}`))
	if len(pods) == 0 {
		c.t.Fatal("no worker runs")
	}
	return pods[0]
}

func (c *cluster) uid(pod string) string {
	out, err := c.try(c.kubectl, "-n", namespace, "get", "pod", pod, "-o", "jsonpath={.metadata.uid}")
	if err != nil {
		return ""
	}
	return out
}

// keepsSecrets looks for what is in Secrets where others may look.
func (c *cluster) keepsSecrets(string, int) {
	var secrets struct {
		Items []struct {
			Metadata struct{ Name string }
			Data     map[string][]byte
		}
	}
	if err := json.Unmarshal([]byte(c.k("get", "secrets", "--field-selector=type!=helm.sh/release.v1", "-o", "json")), &secrets); err != nil {
		c.t.Fatal(err)
	}
	public := map[string]string{
		"ConfigMaps": c.k("get", "configmaps", "-o", "yaml"),
		"objects":    c.k("get", "pods,deployments,statefulsets,jobs,services,events", "-o", "yaml"),
		"helm get":   c.h("get", "all", release) + c.h("get", "manifest", release) + c.h("get", "hooks", release),
	}
	for _, pod := range c.names("pods") {
		for _, previous := range []string{"--previous=false", "--previous=true"} {
			out, _ := c.try(c.kubectl, "-n", namespace, "logs", pod, "--all-containers", previous) // there may be none
			public["the log of "+pod+" "+previous] = out
		}
	}
	known := 0
	for _, s := range secrets.Items {
		for key, value := range s.Data {
			if key == "tls.crt" || key == "AWS_ACCESS_KEY_ID" {
				continue
			}
			known++
			encoded, err := json.Marshal(value) // base64
			if err != nil {
				c.t.Fatal(err)
			}
			for where, text := range public {
				if strings.Contains(text, strings.TrimSpace(string(value))) || strings.Contains(text, strings.Trim(string(encoded), `"`)) {
					c.t.Errorf("%s of Secret %s is in %s", key, s.Metadata.Name, where)
				}
			}
		}
	}
	if known < 3 || len(public["helm get"]) < 1000 {
		c.t.Errorf("%d secrets were looked for: token, key and the Store's are three at least", known)
	}
}

var digest = regexp.MustCompile(`step (\d+).* digest (sha256:[0-9a-f]{64})`)

// quiet is the digest of the same run with one worker on this machine, which goes on
// where it was before.
func (c *cluster) quiet(n int) string {
	c.t.Helper()
	var errs bytes.Buffer
	cmd := exec.Command(filepath.Join(c.bin, "ddpm-coordinator"), "--local", "--workers=1", "--preset="+preset, "--seed=7", fmt.Sprintf("--steps=%d", n), "--checkpoint-every=100", "--data-dir="+c.local)
	cmd.Stderr = &errs
	out, err := cmd.Output()
	m := digest.FindSubmatch(out)
	if err != nil || m == nil {
		c.t.Fatalf("the run on this machine: %v, %s\n%s", err, out, &errs)
	}
	return string(m[2])
}

// ends waits for the end and compares.
func (c *cluster) ends(_ string, n int) {
	got := c.digestAt(n)
	if want := c.quiet(n); got != want {
		c.t.Errorf("digest %s in the cluster, %s on this machine", got, want)
	}
	c.lostNothing(n)
	c.seesConsole(n) // where it draws something
}

// digestAt waits until a step's checkpoint is there, and reads all of it.
func (c *cluster) digestAt(n int) string {
	c.t.Helper()
	last := ""
	for begin := time.Now(); time.Since(begin) < 3*limit; time.Sleep(time.Second) {
		out, err := c.ctl("digest", "--run", preset, "--step", strconv.Itoa(n))
		if m := digest.FindStringSubmatch(out); err == nil && m != nil {
			return m[2]
		}
		last = fmt.Sprint(out, err)
	}
	c.t.Fatalf("there is no checkpoint of step %d: %s", n, last)
	return ""
}

// ctl is ddpmctl on this machine, at the cluster's Store.
func (c *cluster) ctl(args ...string) (string, error) {
	c.t.Helper()
	address, stop := c.forward("service/"+name+"-minio", "9000")
	defer stop()
	user, secret := c.storeSecret()
	cmd := exec.Command(filepath.Join(c.bin, "ddpmctl"), append(args, "--storage", "s3://ddpm?insecure=true&endpoint="+address)...)
	cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+user, "AWS_SECRET_ACCESS_KEY="+secret)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (c *cluster) storeSecret() (user, secret string) {
	c.t.Helper()
	text := c.k("get", "secret", name+"-minio", "-o", "go-template={{.data.AWS_ACCESS_KEY_ID | base64decode}} {{.data.AWS_SECRET_ACCESS_KEY | base64decode}}")
	user, secret, _ = strings.Cut(text, " ")
	return user, secret
}

// lostNothing reads the run's metrics: each step is there once, in order.
func (c *cluster) lostNothing(n int) {
	c.t.Helper()
	next := 1
	for line := range strings.Lines(c.object("runs/" + preset + "/metrics.jsonl")) {
		var m struct{ Step int }
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			c.t.Fatal(err)
		}
		if m.Step != next {
			c.t.Fatalf("step %d comes where %d should", m.Step, next)
		}
		next++
	}
	if next != n+1 {
		c.t.Errorf("the metrics have %d steps, not %d", next-1, n)
	}
}

// comesAgain uninstalls, looks at what is left, and installs a longer run.
func (c *cluster) comesAgain(values string, n int) {
	c.h("uninstall", release, "--wait", "--timeout=5m")
	for begin := time.Now(); len(c.names("pods")) > 0; time.Sleep(time.Second) {
		if time.Since(begin) > limit {
			c.t.Fatalf("pods stay: %v", c.names("pods"))
		}
	}
	for kind, want := range map[string][]string{
		"secrets":                {name + "-ca", name + "-minio", name + "-token"},
		"persistentvolumeclaims": {"data-" + name + "-coordinator-0", "data-" + name + "-minio-0"},
		"configmaps":             {"kube-root-ca.crt"},
		"serviceaccounts":        {"default"},
		"services":               nil, "deployments": nil, "statefulsets": nil, "jobs": nil, "replicasets": nil,
		"roles": nil, "rolebindings": nil, "networkpolicies": nil, "poddisruptionbudgets": nil,
	} {
		if got := c.names(kind); !slices.Equal(got, want) {
			c.t.Errorf("uninstall leaves the %s %v, want %v", kind, got, want)
		}
	}
	c.h("install", release, filepath.Join(root, "deploy", "helm", "ddpm"), "-f", values, "--set", fmt.Sprintf("config.steps=%d", n+100))
	s := c.await("the run again", func(s status) bool { return s.Step >= uint64(n) })
	for _, g := range s.History {
		if g.StartStep < uint64(n) {
			c.t.Errorf("it began again at step %d: %s", g.StartStep, g.Reason)
		}
	}
	got := c.digestAt(n + 100)
	if want := c.quiet(n + 100); got != want {
		c.t.Errorf("digest %s in the cluster, %s on this machine", got, want)
	}
}
