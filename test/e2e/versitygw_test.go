package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/internal/s3test"
)

// What MinIO is for, a server of other habits is too: a run that is trained, kept,
// gone on with by other workers, checked, drawn from and tidied there has the bits of
// one in a folder.
func TestSameBitsOnVersityGW(t *testing.T) {
	server := s3test.StartVersityGW(t)
	_, want := train(t, t.TempDir(), "--steps", "20", "--workers", "1").lastLine(t)
	uri := s3test.URI(server.Address, "some/place")
	args := []string{"--storage", uri, "--checkpoint-every", "5", "--keep-last", "2"}
	trainEnv(t, server.Env(), t.TempDir(), append(args, "--steps", "10", "--workers", "3")...).lastLine(t)
	if _, got := trainEnv(t, server.Env(), t.TempDir(), append(args, "--steps", "20", "--workers", "2")...).lastLine(t); got != want {
		t.Errorf("digest %s, in a folder it is %s", got, want)
	}
	ctl := func(want string, args ...string) {
		t.Helper()
		if r := run(t, server.Env(), "ddpmctl", append(args, "--storage", uri)...); r.code != 0 || !strings.Contains(r.stdout, want) {
			t.Errorf("%v: exit code %d, %s%s; want %q", args, r.code, r.stdout, r.stderr, want)
		}
	}
	ctl("step 20 digest "+want, "digest")
	ctl("step 15: whole", "checkpoints", "verify")
	out := filepath.Join(t.TempDir(), "x.png")
	ctl("step 20", "sample", "--n", "4", "--sampler", "ddim", "--steps", "2", "--out", out)
	checkPNG(t, out)
	ctl("images   300 of 8x8x1", "data", "import", noiseTar(t, 300, 8), "noise", "--size", "8", "--channels", "1")
	ctl("digest", "data", "verify", "noise")
	ctl("deleted", "checkpoints", "delete", "--step", "15")
	ctl("step 20: whole", "checkpoints", "verify")
	if list := run(t, server.Env(), "ddpmctl", "checkpoints", "list", "--storage", uri); strings.Count(list.stdout, "complete") != 1 {
		t.Errorf("after the deletion:\n%s", list.stdout)
	}
}
