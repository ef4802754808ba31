package chart

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	rbacv1 "k8s.io/api/rbac/v1"
)

// made are the arguments of the pod that makes Secrets, nil without one.
func made(t *testing.T, values string) (args []string) {
	t.Helper()
	all := render(t, values)
	for _, m := range all {
		if m.Kind == "Job" {
			return find[batchv1.Job](t, all, "Job", "r-ddpm-secrets").Spec.Template.Spec.Containers[0].Args
		}
	}
	return nil
}

// Helm renders no secret: who may read the release must not get the cluster with it.
func TestNoSecretIsRendered(t *testing.T) {
	for name, values := range sets() {
		for _, m := range render(t, values) {
			if m.Kind == "Secret" {
				t.Errorf("%s: %v", name, m)
			}
		}
		one, err := try(t, values)
		if err != nil {
			t.Fatal(err)
		}
		other, err := try(t, values)
		if err != nil {
			t.Fatal(err)
		}
		for file, text := range one {
			if text != other[file] {
				t.Errorf("%s: %s is another at each rendering", name, file)
			}
		}
	}
}

// A pod makes those that nobody brings, and has the rights for them alone.
func TestSecretsAreMade(t *testing.T) {
	for _, v := range []struct {
		values string
		want   []string
	}{
		{inS3, []string{"--token=r-ddpm-token", "--authority=r-ddpm-ca"}},
		{trial, []string{"--token=r-ddpm-token", "--authority=r-ddpm-ca", "--store=r-ddpm-minio"}},
		{inS3 + "security: {tokenSecret: t}\n", []string{"--authority=r-ddpm-ca"}},
		{inS3 + "security: {certManager: {enabled: true}}\n", []string{"--token=r-ddpm-token"}},
		{trial + "security: {tokenSecret: t, caSecret: c}\n", []string{"--store=r-ddpm-minio"}},
		{inS3 + "security: {tokenSecret: t, caSecret: c}\n", nil},
		{"minio: {enabled: true, existingSecret: m}\nsecurity: {tokenSecret: t, caSecret: c}\n", nil},
	} {
		var names []string
		for _, a := range made(t, v.values) {
			if a != "kube-secrets" && !strings.HasPrefix(a, "--label=") {
				names = append(names, a)
			}
		}
		if !slices.Equal(names, v.want) {
			t.Errorf("%q: %v, want %v", v.values, names, v.want)
		}
	}
	all := render(t, trial)
	for _, rule := range find[rbacv1.Role](t, all, "Role", "r-ddpm-secrets").Rules {
		switch {
		case !slices.Equal(rule.Resources, []string{"secrets"}):
			t.Errorf("rights to %v", rule.Resources)
		case slices.Equal(rule.Verbs, []string{"create"}):
		case !slices.Equal(rule.Verbs, []string{"get"}) || !slices.Equal(rule.ResourceNames, []string{"r-ddpm-token", "r-ddpm-ca", "r-ddpm-minio"}):
			t.Errorf("%v of %v", rule.Verbs, rule.ResourceNames)
		}
	}
}

// What makes Secrets is gone when it has, and comes before what needs them.
func TestWhatMakesSecretsGoes(t *testing.T) {
	for _, m := range render(t, trial) {
		ours := strings.HasSuffix(m.Metadata.Name, "-secrets")
		hook := m.Metadata.Annotations["helm.sh/hook"] == "pre-install,pre-upgrade" &&
			m.Metadata.Annotations["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"
		if ours != hook {
			t.Errorf("%v: annotations %v", m, m.Metadata.Annotations)
		}
	}
}

// The command takes the arguments.
func TestSecretsCommand(t *testing.T) {
	command := filepath.Join(commands(t), "ddpmctl")
	said := run(t, command, append(made(t, trial), "--help"))
	if !strings.Contains(said, "kube-secrets") {
		t.Error(said)
	}
	if said := run(t, command, made(t, trial)); !strings.Contains(said, "this is no pod") {
		t.Errorf("outside a pod it says %s", said)
	}
}
