package chart

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"
)

// cluster has what was installed before.
type cluster struct {
	dynamic.NamespaceableResourceInterface
	objects map[string]*unstructured.Unstructured
}

func (c *cluster) GetClientFor(_, _ string) (dynamic.NamespaceableResourceInterface, bool, error) {
	return c, true, nil
}

func (c *cluster) Namespace(string) dynamic.ResourceInterface { return c }

func (c *cluster) Get(_ context.Context, name string, _ metav1.GetOptions, _ ...string) (*unstructured.Unstructured, error) {
	if o := c.objects[name]; o != nil {
		return o, nil
	}
	return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, name)
}

func secrets(t *testing.T, all []manifest) map[string]*corev1.Secret {
	t.Helper()
	found := map[string]*corev1.Secret{}
	for _, m := range all {
		if m.Kind == "Secret" {
			found[m.Metadata.Name] = find[corev1.Secret](t, all, "Secret", m.Metadata.Name)
		}
	}
	return found
}

// What is made at install is good for the coordinator, differs between installs, and
// stays over upgrades.
func TestSecretsAreMadeOnce(t *testing.T) {
	first := renderIn(t, trial, &cluster{})
	made := secrets(t, first)
	if names := slices.Sorted(maps.Keys(made)); !slices.Equal(names, []string{"r-ddpm-ca", "r-ddpm-minio", "r-ddpm-token"}) {
		t.Fatalf("%v", names)
	}
	if token := string(made["r-ddpm-token"].Data["token"]); !regexp.MustCompile(`^[a-z0-9]{6}\.[a-z0-9]{26}$`).MatchString(token) {
		t.Errorf("%q is no token", token)
	}
	checkAuthority(t, made["r-ddpm-ca"])
	there := &cluster{objects: map[string]*unstructured.Unstructured{}}
	for _, m := range first {
		if m.Kind != "Secret" {
			continue
		}
		if m.Metadata.Annotations["helm.sh/resource-policy"] != "keep" {
			t.Errorf("%v goes with the release", m)
		}
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(m.text, &o.Object); err != nil {
			t.Fatal(err)
		}
		there.objects[m.Metadata.Name] = o
	}
	upgraded, other := secrets(t, renderIn(t, trial, there)), secrets(t, renderIn(t, trial, &cluster{}))
	for name, s := range made {
		if !maps.EqualFunc(s.Data, upgraded[name].Data, slices.Equal[[]byte]) {
			t.Errorf("%s is another after an upgrade", name)
		}
		if maps.EqualFunc(s.Data, other[name].Data, slices.Equal[[]byte]) {
			t.Errorf("%s is the same in another install", name)
		}
	}
}

func checkAuthority(t *testing.T, s *corev1.Secret) {
	t.Helper()
	certificate, _ := pem.Decode(s.Data["tls.crt"])
	key, _ := pem.Decode(s.Data["tls.key"])
	if s.Type != corev1.SecretTypeTLS || certificate == nil || key == nil {
		t.Fatalf("%s, certificate %v, key %v", s.Type, certificate != nil, key != nil)
	}
	c, err := x509.ParseCertificate(certificate.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	k, err := x509.ParseECPrivateKey(key.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if public, ok := c.PublicKey.(*ecdsa.PublicKey); !ok || !c.IsCA || public.Curve != elliptic.P256() || !k.PublicKey.Equal(public) || c.KeyUsage&x509.KeyUsageCertSign == 0 {
		t.Errorf("it is no authority on P-256: %v, CA %v", c.PublicKeyAlgorithm, c.IsCA)
	}
}

// No secret is anywhere but in Secrets.
func TestSecretsAreNowhereElse(t *testing.T) {
	all := renderIn(t, trial, &cluster{})
	for name, s := range secrets(t, all) {
		for key, value := range s.Data {
			if key == "tls.crt" || key == "AWS_ACCESS_KEY_ID" {
				continue
			}
			for _, m := range all {
				if m.Kind != "Secret" && strings.Contains(string(m.text), string(value)) {
					t.Errorf("%v has the %s of %s", m, key, name)
				}
			}
		}
	}
	for _, s := range []string{"security: {tokenSecret: a, caSecret: b}\n" + inS3} {
		if n := len(secrets(t, render(t, s))); n != 0 {
			t.Errorf("%d Secrets are made though all are given", n)
		}
	}
}
