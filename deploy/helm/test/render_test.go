package chart

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"
)

// helm lint has nothing to say.
func TestLint(t *testing.T) {
	for name, values := range sets() {
		given, err := loader.LoadValues(strings.NewReader(values))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range lint.RunAll(chartDir, given, "ns").Messages {
			if !strings.Contains(m.Err.Error(), "icon is recommended") {
				t.Errorf("%s: %v", name, m)
			}
		}
	}
}

// A field that Kubernetes does not know is a mistake, and so is a kind that no test
// knows.
func TestStrict(t *testing.T) {
	for name, values := range sets() {
		seen := map[string]bool{}
		for _, m := range render(t, values) {
			shape, known := shapes()[m.APIVersion+" "+m.Kind]
			switch {
			case !known:
				t.Errorf("%s: %v is of the unknown kind %s %s", name, m, m.APIVersion, m.Kind)
			case shape != nil:
				if err := yaml.UnmarshalStrict(m.text, shape()); err != nil {
					t.Errorf("%s: %v: %v\n%s", name, m, err, m.text)
				}
			}
			if m.Metadata.Namespace != "ns" || m.Metadata.Labels["app.kubernetes.io/instance"] != "r" {
				t.Errorf("%s: %v: namespace %q, labels %v", name, m, m.Metadata.Namespace, m.Metadata.Labels)
			}
			if seen[m.String()] {
				t.Errorf("%s: %v is there twice", name, m)
			}
			seen[m.String()] = true
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, v := range []struct{ values, want string }{
		{"", "store.uri is missing"},
		{inS3 + "worker: {replicas: 2}\n", "worker"},
		{inS3 + "workers: {replica: 2}\n", "replica"},
		{inS3 + "workers: {replicas: -1}\n", "replicas"},
		{inS3 + "config: {sede: 3}\n", "sede"},
		{inS3 + "config: {listen: '0.0.0.0:1'}\n", "listen"},
		{inS3 + "config: {steps: many}\n", "steps"},
		{inS3 + "config: {gather-dtype: fp8}\n", "gather-dtype"},
		{inS3 + "config: {fraction-bits: 23}\n", "fraction-bits"},
		{inS3 + "config: {fraction-bits: 49}\n", "fraction-bits"},
		{inS3 + "config: {fraction-bits: 32.5}\n", "fraction-bits"},
		{inS3 + "config: {local-steps: 0}\n", "local-steps"},
		{inS3 + "config: {local-steps: 65537}\n", "local-steps"},
		{inS3 + "config: {local-steps: 5, local-groups: 0}\n", "local-groups"},
		{inS3 + "config: {local-steps: 5, outer-lr: 0}\n", "outer-lr"},
		{inS3 + "config: {local-steps: 5, outer-lr: 2.5}\n", "outer-lr"},
		{inS3 + "config: {local-steps: 5, outer-momentum: 1}\n", "outer-momentum"},
		{inS3 + "config: {local-steps: 5, outer-momentum: -0.1}\n", "outer-momentum"},
		{inS3 + "image: {pullPolicy: Sometimes}\n", "pullPolicy"},
		{"store: {uri: /tmp}\n", "uri"},
		{inS3 + "coordinator: {standbys: 1}\n", "needs an etcd"},
		{inS3 + "etcd: {enabled: true, endpoints: ['a:1']}\n", "give one of them"},
		{"store: {uri: 's3://b', existingClaim: c}\n", "give one of them"},
		{inS3 + "security: {caSecret: c, certManager: {enabled: true}}\n", "give one of them"},
		{inS3 + "samplers: {autoscaling: {enabled: true, metrics: []}}\n", "metrics is empty"},
		{inS3 + "monitoring: {traces: {endpoint: 'http://c:4318/v1/traces', protocol: http/protobuf}}\n", "without /v1/traces"},
	} {
		if _, err := try(t, v.values); err == nil || !strings.Contains(err.Error(), v.want) {
			t.Errorf("%q: %v, want %q", v.values, err, v.want)
		}
	}
}

// Pod Security "restricted", and what else every pod keeps to.
func TestRestricted(t *testing.T) {
	for name, values := range sets() {
		for pod, spec := range pods(t, render(t, values)) {
			s := spec.SecurityContext
			if s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.RunAsUser == nil || *s.RunAsUser == 0 ||
				s.SeccompProfile == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
				t.Errorf("%s: %s: %+v", name, pod, s)
			}
			asks := strings.HasPrefix(pod, "Job ") // the API server, for Secrets
			if spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken != asks || spec.HostNetwork {
				t.Errorf("%s: %s has the API server's token, or the host's network", name, pod)
			}
			for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
				s := c.SecurityContext
				if s == nil || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation ||
					s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem ||
					s.Capabilities == nil || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) || len(s.Capabilities.Add) > 0 {
					t.Errorf("%s: %s %s: %+v", name, pod, c.Name, s)
				}
				if c.Resources.Requests.Cpu().IsZero() || c.Resources.Limits.Memory().IsZero() {
					t.Errorf("%s: %s %s has no resources", name, pod, c.Name)
				}
			}
			for _, v := range spec.Volumes {
				if v.HostPath != nil {
					t.Errorf("%s: %s mounts a folder of the host", name, pod)
				}
			}
		}
	}
}

// The coordinator itself reads what the chart writes for it.
func TestConfigIsTheCoordinators(t *testing.T) {
	command := filepath.Join(commands(t), "ddpm-coordinator")
	for name, values := range sets() {
		all := render(t, values)
		full := "r-ddpm"
		if name == "everything" {
			full = "train"
		}
		text, settings := runYAML(t, all, full+"-run")
		if name == "everything" && (!strings.Contains(text, "steps: 800000\n") || !strings.Contains(text, "seed: 12345678901\n") || settings["workers"] != float64(5)) {
			t.Errorf("numbers are not what was given:\n%s", text)
		}
		file := filepath.Join(t.TempDir(), "run.yaml")
		// A dry run looks into the Store; here it is a folder that is not there.
		store := filepath.Join(t.TempDir(), "none")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(command, "--config", file, "--storage", store, "--dry-run").CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s\n%s", name, err, out, text)
		}
	}
	// What users may set are the coordinator's flags, but for those that are the chart's.
	help, err := exec.Command(command, "--help").CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	flags := flagsIn(string(help))
	known := schemaKeys(t, "config")
	charts := strings.Fields("local storage data-dir listen http metrics pprof etcd standby serve-samples hand-over insecure ca-cert ca-key join-token-file tls-name etcd-cacert etcd-cert etcd-key config help version dry-run")
	for _, f := range flags {
		if !slices.Contains(known, f) && !slices.Contains(charts, f) {
			t.Errorf("--%s of the coordinator can't be set: add it to config in values.schema.json", f)
		}
	}
	for _, k := range known {
		if !slices.Contains(flags, k) {
			t.Errorf("config.%s is in the schema, and no flag of the coordinator", k)
		}
	}
}

// What is given for slow links comes to the run as it was given.
func TestSlowLinks(t *testing.T) {
	command := filepath.Join(commands(t), "ddpm-coordinator")
	for name, given := range map[string][]string{
		"sums":        {"gather-dtype: bf16", "fraction-bits: 32"},
		"timesteps":   {"timesteps: stratified"},
		"local steps": {"local-steps: 20", "local-groups: 2", "outer-lr: 0.9", "outer-momentum: 0.8"},
	} {
		text, _ := runYAML(t, render(t, inS3+"config: {"+strings.Join(given, ", ")+"}\n"), "r-ddpm-run")
		file := filepath.Join(t.TempDir(), "run.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(command, "--config", file, "--storage", filepath.Join(t.TempDir(), "none"), "--dry-run").CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		for _, setting := range given {
			if !strings.Contains(text, setting+"\n") || !strings.Contains(string(out), setting+"\n") {
				t.Errorf("%s: %q is not in the run's file, or not what the coordinator makes of it:\n%s\n%s", name, setting, text, out)
			}
		}
	}
}

func TestWorkers(t *testing.T) {
	all := render(t, inS3+"workers: {replicas: 7, graceSeconds: 300}\n")
	d := find[appsv1.Deployment](t, all, "Deployment", "r-ddpm-worker")
	pod := d.Spec.Template.Spec
	if *d.Spec.Replicas != 7 || *pod.TerminationGracePeriodSeconds <= 300 {
		t.Errorf("%d replicas, %d s", *d.Spec.Replicas, *pod.TerminationGracePeriodSeconds)
	}
	args := strings.Join(pod.Containers[0].Args, " ")
	for _, want := range []string{"--join=r-ddpm-coordinator.ns.svc:7600 ", "--grace=300s", "--away=1800s", "--advertise=$(POD_IP)", "--health=0.0.0.0:7602", "--cache-size=10Gi ", "--wait=10m", "--ca-cert=/etc/ddpm/pki/ca.crt"} {
		if !strings.Contains(args, want) {
			t.Errorf("no %q in %s", want, args)
		}
	}
	for _, v := range pod.Volumes {
		if v.Name == "pki" && (len(v.Secret.Items) != 1 || v.Secret.Items[0].Key != "tls.crt") {
			t.Errorf("workers get more of the authority than its certificate: %v", v.Secret.Items)
		}
	}
	if s := find[corev1.Service](t, all, "Service", "r-ddpm-coordinator"); !s.Spec.PublishNotReadyAddresses {
		t.Error("workers wait for a coordinator's probe")
	}
	if n := len(render(t, inS3)); n == len(render(t, inS3+"samplers: {replicas: 1}\n")) {
		t.Error("samplers render nothing")
	}
	all = render(t, inS3+"etcd: {endpoints: ['e:2379']}\ncoordinator: {standbys: 1}\n")
	args = strings.Join(find[appsv1.Deployment](t, all, "Deployment", "r-ddpm-worker").Spec.Template.Spec.Containers[0].Args, " ")
	if want := "--join=r-ddpm-coordinator-0.r-ddpm-coordinator-pods.ns.svc:7600,r-ddpm-coordinator-1.r-ddpm-coordinator-pods.ns.svc:7600 "; !strings.Contains(args, want) {
		t.Errorf("with a standby: %s", args)
	}
	if _, s := runYAML(t, all, "r-ddpm-run"); s["standby"] != true || s["hand-over"] != true {
		t.Errorf("%v", s)
	}
}

// Who may talk to whom.
func TestNetworkPolicies(t *testing.T) {
	all := render(t, trial)
	component := "app.kubernetes.io/component"
	from := func(name string) (peers []string) {
		p := find[networkingv1.NetworkPolicy](t, all, "NetworkPolicy", "r-ddpm-"+name)
		if !slices.Equal(p.Spec.PolicyTypes, []networkingv1.PolicyType{"Ingress", "Egress"}) || p.Spec.PodSelector.MatchLabels[component] != name {
			t.Errorf("%s: %+v", name, p.Spec)
		}
		for _, rule := range p.Spec.Ingress {
			if len(rule.From) == 0 {
				t.Errorf("%s: a rule lets everybody in", name)
			}
			for _, peer := range rule.From {
				for _, port := range rule.Ports {
					peers = append(peers, peer.PodSelector.MatchLabels[component]+":"+port.Port.String())
				}
				if len(rule.Ports) == 0 {
					peers = append(peers, peer.PodSelector.MatchLabels[component])
				}
			}
		}
		slices.Sort(peers)
		return peers
	}
	for name, want := range map[string][]string{
		"coordinator": {"client:grpc", "client:metrics", "client:status", "sampler:grpc", "worker:grpc"},
		"worker":      {"worker"},
		"sampler":     nil,
		"minio":       {"client:s3", "coordinator:s3", "sampler:s3", "worker:s3"},
		"etcd":        {"coordinator:client"},
		"secrets":     nil,
	} {
		if got := from(name); !slices.Equal(got, want) {
			t.Errorf("%s lets in %v, want %v", name, got, want)
		}
	}
}

// Samplers are scaled by the tasks of the pool, of all states.
func TestAutoscaling(t *testing.T) {
	all := render(t, trial+"samplers: {autoscaling: {enabled: true}}\n")
	scaler := find[autoscalingv2.HorizontalPodAutoscaler](t, all, "HorizontalPodAutoscaler", "r-ddpm-sampler")
	if len(scaler.Spec.Metrics) != 1 || scaler.Spec.Metrics[0].External == nil {
		t.Fatalf("it scales by %+v", scaler.Spec.Metrics)
	}
	m := scaler.Spec.Metrics[0].External
	if m.Metric.Name != "ddpm_sampling_tasks" || m.Metric.Selector != nil || m.Target.Type != autoscalingv2.AverageValueMetricType || m.Target.AverageValue.Value() != 2 {
		t.Errorf("it scales by %+v", m)
	}
}

// Every pod that runs for long is asked whether it is alive, with standbys too.
func TestProbes(t *testing.T) {
	for _, values := range []string{trial + "samplers: {replicas: 1}\n", sets()["everything"]} {
		probed(t, pods(t, render(t, values)))
	}
}

func probed(t *testing.T, specs map[string]corev1.PodSpec) {
	t.Helper()
	for pod, spec := range specs {
		if strings.HasPrefix(pod, "Job ") || strings.HasPrefix(pod, "Pod ") {
			continue
		}
		for _, c := range spec.Containers {
			if c.LivenessProbe == nil || c.LivenessProbe.HTTPGet == nil {
				t.Errorf("%s: nobody asks %s whether it is alive", pod, c.Name)
			}
			for _, p := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe} {
				if p != nil && !slices.ContainsFunc(c.Ports, func(port corev1.ContainerPort) bool { return port.Name == p.HTTPGet.Port.StrVal }) {
					t.Errorf("%s: %s is asked at the port %s, which it has not", pod, c.Name, p.HTTPGet.Port.StrVal)
				}
			}
		}
	}
}

// One value sends the traces of whoever trains, coordinates or draws to a collector, and
// none does by default.
func TestTraces(t *testing.T) {
	for values, want := range map[string]string{
		trial + "samplers: {replicas: 1}\n": "",
		trial + "samplers: {replicas: 1}\nmonitoring: {traces: {endpoint: 'http://collector:4317'}}\n":                            "http://collector:4317 grpc",
		trial + "samplers: {replicas: 1}\nmonitoring: {traces: {endpoint: 'http://collector:4318', protocol: 'http/protobuf'}}\n": "http://collector:4318 http/protobuf",
	} {
		seen := 0
		for pod, spec := range pods(t, render(t, values)) {
			for _, c := range spec.Containers {
				env := map[string]string{}
				for _, e := range c.Env {
					env[e.Name] = e.Value
				}
				if _, ours := env["XDG_CACHE_HOME"]; !ours {
					continue
				}
				seen++
				got := strings.TrimSpace(env["OTEL_EXPORTER_OTLP_ENDPOINT"] + " " + env["OTEL_EXPORTER_OTLP_PROTOCOL"])
				if got != want {
					t.Errorf("%s %s: %q, want %q", pod, c.Name, got, want)
				}
			}
		}
		if seen < 3 {
			t.Errorf("%d containers of ours", seen)
		}
	}
	if _, err := try(t, inS3+"monitoring: {traces: {protocol: http/json}}\n"); err == nil {
		t.Error("a protocol that is not spoken is taken")
	}
}
