package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/internal/kube"
	"github.com/ddpm-cluster/ddpm-cluster/internal/pki"
	"github.com/ddpm-cluster/ddpm-cluster/internal/token"
)

// What is made is what coordinators and workers take, and another one each time.
func TestDrawnSecretsAreGood(t *testing.T) {
	draw := func(f func() (kube.Secret, error)) map[string][]byte {
		t.Helper()
		s, err := f()
		if err != nil {
			t.Fatal(err)
		}
		return s.Data
	}
	one, other := string(draw(drawToken)["token"]), string(draw(drawToken)["token"])
	if _, err := token.Parse(one); err != nil || one == other {
		t.Errorf("token: %v, another one: %v", err, one != other)
	}
	dir := t.TempDir()
	authority := draw(drawAuthority)
	for name, content := range authority {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o440); err != nil { // as a volume has it
			t.Fatal(err)
		}
	}
	if _, err := pki.LoadCA(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")); err != nil {
		t.Error(err)
	}
	store := draw(drawStore)
	if len(store["AWS_ACCESS_KEY_ID"]) < 3 || len(store["AWS_SECRET_ACCESS_KEY"]) < 20 {
		t.Errorf("credentials of %d and %d characters", len(store["AWS_ACCESS_KEY_ID"]), len(store["AWS_SECRET_ACCESS_KEY"]))
	}
}

func TestKubeSecretsRefuses(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	if code, _, errs := ctl(t, "kube-secrets"); code != exitUsage || !strings.Contains(errs, "at least one name") {
		t.Errorf("without names: %d, %s", code, errs)
	}
	if code, _, errs := ctl(t, "kube-secrets", "--token=t"); code != exitFailure || !strings.Contains(errs, "this is no pod") {
		t.Errorf("in no pod: %d, %s", code, errs)
	}
}
