package chart

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// ruled is a PrometheusRule.
type ruled struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Groups []any `json:"groups"`
	} `json:"spec"`
}

// The alerts and the dashboard are those that are tested elsewhere.
func TestMonitoring(t *testing.T) {
	for inChart, there := range map[string]string{"alerts.yaml": "prometheus/alerts.yaml", "dashboard.json": "grafana/ddpm.json"} {
		if read(t, filepath.Join(chartDir, "files", inChart)) != read(t, filepath.Join("..", "..", there)) {
			t.Errorf("files/%s is not deploy/%s any more: copy it", inChart, there)
		}
	}
	all := render(t, sets()["everything"])
	rule := find[ruled](t, all, "PrometheusRule", "train")
	var want struct{ Groups []any }
	if err := yaml.Unmarshal([]byte(read(t, "../../prometheus/alerts.yaml")), &want); err != nil {
		t.Fatal(err)
	}
	if n := len(want.Groups); len(rule.Spec.Groups) != n+1 || !reflect.DeepEqual(rule.Spec.Groups[:n], want.Groups) || rule.Labels["release"] != "prometheus" {
		t.Errorf("the rules are others: %v", rule)
	}
	dashboard := find[corev1.ConfigMap](t, all, "ConfigMap", "train-dashboard")
	var shown struct{ UID string }
	if err := json.Unmarshal([]byte(dashboard.Data["train.json"]), &shown); err != nil || shown.UID == "" || dashboard.Labels["grafana_dashboard"] != "1" {
		t.Errorf("%v, %q, labels %v", err, shown.UID, dashboard.Labels)
	}
}

// Without the ServiceMonitor nothing is known of the labels that an absent coordinator has not.
func TestAbsentNeedsTheServiceMonitor(t *testing.T) {
	rule := find[ruled](t, render(t, trial+"monitoring: {prometheusRule: {enabled: true}}\n"), "PrometheusRule", "r-ddpm")
	if len(rule.Spec.Groups) != 1 {
		t.Errorf("the rules are %v", rule.Spec.Groups)
	}
}

// absences are tests of the release's own alert, for promtool.
const absences = `
rule_files: [rules.yaml]
evaluation_interval: 1m
tests:
  - name: there is none, though others are there
    interval: 1m
    input_series:
      - {series: 'up{job="ddpm", namespace="ns", service="other-ddpm-coordinator", instance="a"}', values: '1x20'}
      - {series: 'up{job="ddpm", namespace="other", service="r-ddpm-coordinator", instance="a"}', values: '1x20'}
      - {series: 'ddpm_complete{job="ddpm", namespace="other", service="r-ddpm-coordinator", instance="a"}', values: '1x20'}
      - {series: 'ddpm_leading_since_timestamp_seconds{job="ddpm", namespace="other", service="r-ddpm-coordinator", instance="a"}', values: '0x20'}
    promql_expr_test: &fires
      - expr: 'count(ALERTS{alertstate="firing", alertname="DDPMCoordinatorAbsent", severity="critical"})'
        eval_time: 20m
        exp_samples: [{labels: '{}', value: 1}]
  - name: it is there, or down, which another alert tells
    interval: 1m
    input_series:
      - {series: 'up{job="ddpm", namespace="ns", service="r-ddpm-coordinator", instance="a"}', values: '1x10 0x10'}
    promql_expr_test: &silent
      - expr: 'ALERTS{alertname="DDPMCoordinatorAbsent"}'
        eval_time: 20m
        exp_samples: []
  - name: its run was complete, and it was scaled to 0
    interval: 1m
    input_series:
      - {series: 'up{job="ddpm", namespace="ns", service="r-ddpm-coordinator", instance="a"}', values: '1x5 stale'}
      - {series: 'ddpm_complete{job="ddpm", namespace="ns", service="r-ddpm-coordinator", instance="a"}', values: '0x4 1 stale'}
      - {series: 'ddpm_leading_since_timestamp_seconds{job="ddpm", namespace="ns", service="r-ddpm-coordinator", instance="a"}', values: '0x5 stale'}
    promql_expr_test: *silent
  - name: one had its run complete, and the one after it is gone before
    interval: 1m
    input_series:
      - {series: 'up{job="ddpm", namespace="ns", service="r-ddpm-coordinator", instance="a"}', values: '1x5 stale'}
      - {series: 'ddpm_complete{job="ddpm", namespace="ns", service="r-ddpm-coordinator", instance="a"}', values: '0x4 1 stale'}
      - {series: 'ddpm_leading_since_timestamp_seconds{job="ddpm", namespace="ns", service="r-ddpm-coordinator", instance="a"}', values: '0x5 stale'}
      - {series: 'up{job="ddpm", namespace="ns", service="r-ddpm-coordinator", instance="b"}', values: '_x6 1x3 stale'}
      - {series: 'ddpm_complete{job="ddpm", namespace="ns", service="r-ddpm-coordinator", instance="b"}', values: '_x6 0x3 stale'}
      - {series: 'ddpm_leading_since_timestamp_seconds{job="ddpm", namespace="ns", service="r-ddpm-coordinator", instance="b"}', values: '_x6 360x3 stale'}
    promql_expr_test: *fires
`

// Of a coordinator whose pod waits or is gone there is nothing to be down, and yet an alert,
// unless its run is complete.
func TestAbsent(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("there is no promtool in PATH (Debian: apt-get install prometheus)")
	}
	rule := find[ruled](t, render(t, trial+"monitoring: {prometheusRule: {enabled: true}, serviceMonitor: {enabled: true}}\n"), "PrometheusRule", "r-ddpm")
	rules, err := yaml.Marshal(rule.Spec)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"rules.yaml": string(rules), "test.yaml": absences} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command(promtool, "test", "rules", filepath.Join(dir, "test.yaml")).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s\n%s", err, out, rules)
	}
}
