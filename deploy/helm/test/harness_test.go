package chart

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	v2 "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

const (
	chartDir = "../ddpm"
	// inS3 is the least that must be said.
	inS3 = "store: {uri: 's3://bucket/prefix'}\n"
	// trial has everything inside.
	trial = "minio: {enabled: true}\netcd: {enabled: true}\n"
)

// sets are values that together reach every template.
func sets() map[string]string {
	return map[string]string{
		"s3":    inS3,
		"trial": trial,
		"claim": "store: {existingClaim: shared}\ncoordinator: {persistence: {enabled: false}}\n",
		"everything": trial + `
fullnameOverride: train
imagePullSecrets: [{name: pull}]
image: {repository: example.org/ddpm, tag: v9}
config: {preset: cifar10, steps: 800000, lr: 2.0e-4, seed: 12345678901, keep-last: 3}
security: {certManager: {enabled: true}}
coordinator:
  standbys: 2
  podLabels: {team: a}
  podAnnotations: {b: c}
  nodeSelector: {disk: ssd}
  extraEnv: [{name: GODEBUG, value: x}]
workers:
  replicas: 5
  priorityClassName: spot
  tolerations: [{key: spot, operator: Exists, effect: NoSchedule}]
  affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Exists}]}]}}}
samplers:
  autoscaling: {enabled: true, metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 70}}}]}
networkPolicy:
  statusFrom: [{namespaceSelector: {matchLabels: {name: monitoring}}}]
  extraEgress: [{ports: [{port: 443}]}]
monitoring:
  serviceMonitor: {enabled: true, labels: {release: prometheus}}
  prometheusRule: {enabled: true, labels: {release: prometheus}}
  grafanaDashboard: {enabled: true, annotations: {grafana_folder: training}}
`,
		"external etcd": "etcd: {endpoints: ['https://etcd:2379'], tlsSecret: etcd-client, clientCertificate: true}\ncoordinator: {standbys: 1}\n" +
			"security: {tokenSecret: t, caSecret: c}\nstore: {uri: 's3://b', existingSecret: aws}\nsamplers: {replicas: 2}\npodDisruptionBudget: {enabled: false}\nnetworkPolicy: {enabled: false}\n",
	}
}

func load(t testing.TB) *v2.Chart {
	t.Helper()
	c, err := loader.Load(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// try renders the chart with values, as YAML, in the place of the defaults.
func try(t testing.TB, values string) (map[string]string, error) {
	t.Helper()
	return tryAs(t, "r", values)
}

// tryAs is try for a release of a name.
func tryAs(t testing.TB, release, values string) (map[string]string, error) {
	t.Helper()
	c := load(t)
	given, err := loader.LoadValues(strings.NewReader(values))
	if err != nil {
		t.Fatal(err)
	}
	all, err := util.ToRenderValues(c, given, common.ReleaseOptions{Name: release, Namespace: "ns", IsInstall: true, Revision: 1}, nil)
	if err != nil {
		return nil, err
	}
	return engine.Render(c, all)
}

// manifest is one object, and its text.
type manifest struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        metav1.ObjectMeta `json:"metadata"`
	text            []byte
}

func (m manifest) String() string { return m.Kind + " " + m.Metadata.Name }

// render gives the objects that the values lead to, in no order.
func render(t testing.TB, values string) []manifest {
	t.Helper()
	files, err := try(t, values)
	if err != nil {
		t.Fatal(err)
	}
	var all []manifest
	for name, text := range files {
		if filepath.Ext(name) != ".yaml" {
			continue
		}
		for _, doc := range strings.Split("\n"+text, "\n---") {
			m := manifest{text: []byte(doc)}
			if err := yaml.Unmarshal(m.text, &m); err != nil {
				t.Fatalf("%s: %v\n%s", name, err, doc)
			}
			if m.Kind != "" {
				all = append(all, m)
			}
		}
	}
	return all
}

// find decodes the one object of a kind and name.
func find[T any](t testing.TB, all []manifest, kind, name string) *T {
	t.Helper()
	for _, m := range all {
		if m.Kind == kind && m.Metadata.Name == name {
			into := new(T)
			if err := yaml.UnmarshalStrict(m.text, into); err != nil {
				t.Fatalf("%v: %v\n%s", m, err, m.text)
			}
			return into
		}
	}
	t.Fatalf("there is no %s %s in %v", kind, name, all)
	return nil
}

// shapes are the types of what the chart renders, but those of others' operators.
func shapes() map[string]func() any {
	return map[string]func() any{
		"apps/v1 Deployment":                       func() any { return new(appsv1.Deployment) },
		"apps/v1 StatefulSet":                      func() any { return new(appsv1.StatefulSet) },
		"autoscaling/v2 HorizontalPodAutoscaler":   func() any { return new(autoscalingv2.HorizontalPodAutoscaler) },
		"networking.k8s.io/v1 NetworkPolicy":       func() any { return new(networkingv1.NetworkPolicy) },
		"policy/v1 PodDisruptionBudget":            func() any { return new(policyv1.PodDisruptionBudget) },
		"batch/v1 Job":                             func() any { return new(batchv1.Job) },
		"rbac.authorization.k8s.io/v1 Role":        func() any { return new(rbacv1.Role) },
		"rbac.authorization.k8s.io/v1 RoleBinding": func() any { return new(rbacv1.RoleBinding) },
		"v1 ConfigMap":                             func() any { return new(corev1.ConfigMap) },
		"v1 Pod":                                   func() any { return new(corev1.Pod) },
		"v1 Service":                               func() any { return new(corev1.Service) },
		"v1 ServiceAccount":                        func() any { return new(corev1.ServiceAccount) },
		"cert-manager.io/v1 Certificate":           nil,
		"cert-manager.io/v1 Issuer":                nil,
		"monitoring.coreos.com/v1 ServiceMonitor":  nil,
		"monitoring.coreos.com/v1 PrometheusRule":  nil,
	}
}

// pods are the pod specs of all objects, by the object.
func pods(t testing.TB, all []manifest) map[string]corev1.PodSpec {
	t.Helper()
	specs := map[string]corev1.PodSpec{}
	for _, m := range all {
		var err error
		switch m.Kind {
		case "Pod":
			var p corev1.Pod
			err = yaml.UnmarshalStrict(m.text, &p)
			specs[m.String()] = p.Spec
		case "Job":
			var j batchv1.Job
			err = yaml.UnmarshalStrict(m.text, &j)
			specs[m.String()] = j.Spec.Template.Spec
		case "Deployment":
			var d appsv1.Deployment
			err = yaml.UnmarshalStrict(m.text, &d)
			specs[m.String()] = d.Spec.Template.Spec
		case "StatefulSet":
			var s appsv1.StatefulSet
			err = yaml.UnmarshalStrict(m.text, &s)
			specs[m.String()] = s.Spec.Template.Spec
		}
		if err != nil {
			t.Fatalf("%v: %v", m, err)
		}
	}
	return specs
}

// runYAML is the settings that the coordinator reads.
func runYAML(t testing.TB, all []manifest, name string) (text string, settings map[string]any) {
	t.Helper()
	text = find[corev1.ConfigMap](t, all, "ConfigMap", name).Data["run.yaml"]
	if err := yaml.UnmarshalStrict([]byte(text), &settings); err != nil {
		t.Fatal(err)
	}
	return text, settings
}

func read(t testing.TB, name string) string {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(f)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return string(text)
}
