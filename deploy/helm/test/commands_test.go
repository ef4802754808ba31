package chart

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// commands builds the product's commands into a folder, for one test.
func commands(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	build := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "./cmd/ddpm-coordinator", "./cmd/ddpm-worker")
	build.Dir = filepath.Join("..", "..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return dir
}

// wait bounds a run of seconds; it is generous, since the machine may be slow.
const wait = 2 * time.Minute

// A worker with the Secrets' token and certificate is let in by a coordinator with
// the Secrets' authority.
func TestSecretsLetIn(t *testing.T) {
	bin, dir := commands(t), t.TempDir()
	made := secrets(t, renderIn(t, inS3, &cluster{}))
	mount := func(secret, key string, mode os.FileMode) string {
		name := filepath.Join(dir, key)
		if err := os.WriteFile(name, made[secret].Data[key], mode); err != nil {
			t.Fatal(err)
		}
		return name
	}
	authority := mount("r-ddpm-ca", "tls.crt", 0o440)
	coordinator := exec.Command(filepath.Join(bin, "ddpm-coordinator"), "--workers=1", "--preset=tiny", "--steps=3", "--listen=127.0.0.1:0", "--hand-over",
		"--ca-cert="+authority, "--ca-key="+mount("r-ddpm-ca", "tls.key", 0o440), "--join-token-file="+mount("r-ddpm-token", "token", 0o440),
		"--data-dir="+filepath.Join(dir, "data"))
	var stdout bytes.Buffer
	coordinator.Stdout = &stdout
	log := filepath.Join(dir, "log")
	said, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	coordinator.Stderr = said
	if err := coordinator.Start(); err != nil {
		t.Fatal(err)
	}
	defer time.AfterFunc(wait, func() { _ = coordinator.Process.Kill() }).Stop()
	address := regexp.MustCompile(`--join (\S+)`)
	var at [][]byte
	for end := time.Now().Add(wait); at == nil && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		at = address.FindSubmatch([]byte(read(t, log)))
	}
	if at == nil {
		t.Fatalf("the coordinator does not begin:\n%s", read(t, log))
	}
	out, err := exec.Command(filepath.Join(bin, "ddpm-worker"), "--join="+string(at[1]), "--token-file="+filepath.Join(dir, "token"), "--ca-cert="+authority).CombinedOutput()
	if err != nil {
		t.Errorf("the worker: %v\n%s", err, out)
	}
	if err := coordinator.Wait(); err != nil || !bytes.Contains(stdout.Bytes(), []byte("step 3 ")) {
		t.Errorf("the coordinator: %v, %s\n%s", err, &stdout, read(t, log))
	}
	if token := made["r-ddpm-token"].Data["token"]; bytes.Contains([]byte(read(t, log)), token) || bytes.Contains(out, token) {
		t.Error("the token is in a log")
	}
}
