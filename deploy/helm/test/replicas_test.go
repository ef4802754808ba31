package chart

import (
	"errors"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/fake"
	"sigs.k8s.io/yaml"
)

// live is a cluster with one Deployment.
type live struct{ dynamic.Interface }

// GetClientFor implements engine.ClientProvider.
func (l live) GetClientFor(version, kind string) (dynamic.NamespaceableResourceInterface, bool, error) {
	if version != "apps/v1" || kind != "Deployment" {
		return nil, false, errors.New("the chart looks up something else")
	}
	return l.Resource(schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}), true, nil
}

// rendered is the Deployment of the workers, where there is one already.
func rendered(t *testing.T, values string, there *appsv1.Deployment) *appsv1.Deployment {
	t.Helper()
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(there)
	if err != nil {
		t.Fatal(err)
	}
	given, err := loader.LoadValues(strings.NewReader(values))
	if err != nil {
		t.Fatal(err)
	}
	c := load(t)
	all, err := util.ToRenderValues(c, given, common.ReleaseOptions{Name: "r", Namespace: "ns", IsUpgrade: true, Revision: 2}, nil)
	if err != nil {
		t.Fatal(err)
	}
	files, err := engine.RenderWithClientProvider(c, all, live{fake.NewSimpleDynamicClient(runtime.NewScheme(), &unstructured.Unstructured{Object: object})})
	if err != nil {
		t.Fatal(err)
	}
	d := new(appsv1.Deployment)
	if err := yaml.UnmarshalStrict([]byte(files["ddpm/templates/workers.yaml"]), d); err != nil {
		t.Fatal(err)
	}
	return d
}

// What kubectl scale has made stays over an upgrade, until the value is another.
func TestScaledByHand(t *testing.T) {
	three := inS3 + "workers: {replicas: 3}\n"
	d := find[appsv1.Deployment](t, render(t, three), "Deployment", "r-ddpm-worker")
	if *d.Spec.Replicas != 3 {
		t.Fatalf("%d at install", *d.Spec.Replicas)
	}
	d.APIVersion, d.Kind = "apps/v1", "Deployment"
	*d.Spec.Replicas = 5
	for values, want := range map[string]int32{
		three:                             5,
		three + "image: {tag: other}\n":   5,
		inS3 + "workers: {replicas: 4}\n": 4,
	} {
		if got := *rendered(t, values, d).Spec.Replicas; got != want {
			t.Errorf("%q: %d workers, want %d", values, got, want)
		}
	}
	*d.Spec.Replicas = 0
	if got := *rendered(t, three, d).Spec.Replicas; got != 0 {
		t.Errorf("scaled to 0, an upgrade has %d", got)
	}
	d.Annotations = nil
	if got := *rendered(t, three, d).Spec.Replicas; got != 3 {
		t.Errorf("where it isn't known what the value was: %d", got)
	}
}
