package s3test

import (
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// Bucket is the bucket that every server is started with.
const Bucket = "ddpm-test"

// Server is a running S3 server. Its methods fail the test that it was started for.
type Server struct {
	// Address is its HOST:PORT, speaking plain HTTP. It stays over a restart.
	Address string
	// User and Secret are the owner's credentials.
	User, Secret string

	t       testing.TB
	program string
	args    []string
	env     []string
	ready   string // the path that answers 200 when the server does
	log     string // the file with what it says
	cmd     *exec.Cmd
}

// StartMinIO starts a MinIO, with settings as it takes them from its environment,
// and stops it at the test's end. It skips the test where there is no MinIO.
func StartMinIO(t testing.TB, settings ...string) *Server {
	t.Helper()
	s := newServer(t, MinIO())
	s.args = []string{"server", "--quiet", "--address", s.Address, filepath.Join(t.TempDir(), "data")}
	s.env = append([]string{"MINIO_ROOT_USER=" + s.User, "MINIO_ROOT_PASSWORD=" + s.Secret, "MINIO_BROWSER=off"}, settings...)
	s.ready = "/minio/health/ready"
	return s.begin()
}

// StartVersityGW starts a versitygw over a folder, with settings as it takes them from
// its environment, and stops it at the test's end.
// It skips the test where there is none.
func StartVersityGW(t testing.TB, settings ...string) *Server {
	t.Helper()
	s := newServer(t, VersityGW())
	data := t.TempDir()
	s.args = []string{"--port", s.Address, "--health", "/health", "posix", "--sidecar", t.TempDir(), data}
	s.env = append([]string{"ROOT_ACCESS_KEY=" + s.User, "ROOT_SECRET_KEY=" + s.Secret}, settings...)
	s.ready = "/health"
	return s.begin()
}

func newServer(t testing.TB, p Program) *Server {
	t.Helper()
	return &Server{
		t: t, program: p.find(t), Address: freeAddress(t),
		User: "ddpm-test", Secret: rand.Text(), log: filepath.Join(t.TempDir(), p.Name+".log"),
	}
}

// begin starts the process for the test's time, with the bucket in it.
func (s *Server) begin() *Server {
	s.t.Helper()
	s.t.Cleanup(s.Stop)
	s.Start()
	if err := s.Client().MakeBucket(s.t.Context(), Bucket, minio.MakeBucketOptions{Region: s.region()}); err != nil {
		s.t.Fatalf("s3test: make the bucket: %v\n%s", err, s.Log())
	}
	return s
}

// startLimit bounds a server's start; it is generous, since the machine may be slow.
const startLimit = time.Minute

// Start starts a server that was stopped, with the same data at the same address.
func (s *Server) Start() {
	s.t.Helper()
	out, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
	if err != nil {
		s.t.Fatal(err)
	}
	defer out.Close()
	s.cmd = exec.Command(s.program, s.args...)
	s.cmd.Env = append([]string{"HOME=" + filepath.Dir(s.log), "PATH=" + os.Getenv("PATH")}, s.env...)
	s.cmd.Dir = filepath.Dir(s.log)
	s.cmd.Stdout, s.cmd.Stderr = out, out
	dieWithParent(s.cmd)
	if err := s.cmd.Start(); err != nil {
		s.t.Fatalf("s3test: %v", err)
	}
	client := &http.Client{Timeout: 2 * time.Second}
	defer client.CloseIdleConnections()
	for end := time.Now().Add(startLimit); ; time.Sleep(50 * time.Millisecond) {
		answer, err := client.Get("http://" + s.Address + s.ready)
		if err == nil {
			_ = answer.Body.Close() // nothing of it is wanted
			if answer.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(end) {
			s.t.Fatalf("s3test: %s does not answer: %v\n%s", s.cmd, err, s.Log())
		}
	}
}

// Stop kills the server without warning. Its data stays.
func (s *Server) Stop() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill() // it may have ended by itself
	_ = s.cmd.Wait()         // and was killed, which Wait calls an error
	s.cmd = nil
}

// Log is what the server has said so far.
func (s *Server) Log() string {
	text, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Env are the owner's credentials as an environment has them.
func (s *Server) Env() []string {
	return []string{"AWS_ACCESS_KEY_ID=" + s.User, "AWS_SECRET_ACCESS_KEY=" + s.Secret}
}

// SetEnv gives the test's own process the owner's credentials.
func (s *Server) SetEnv(t *testing.T) {
	for _, v := range s.Env() {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
}

// URI is a place in the test's bucket. address is the server's own, or a proxy's.
func URI(address, prefix string) string {
	return fmt.Sprintf("s3://%s/%s?insecure=true&endpoint=%s", Bucket, prefix, address)
}

// Client is the owner's, for what the product has no call for.
func (s *Server) Client() *minio.Client {
	s.t.Helper()
	c, err := minio.New(s.Address, &minio.Options{Creds: credentials.NewStaticV4(s.User, s.Secret, ""), Region: s.region()})
	if err != nil {
		s.t.Fatalf("s3test: %v", err)
	}
	return c
}

// Restricted makes credentials that may only do what an IAM policy says, as
// environment variables. Only MinIO knows how.
func (s *Server) Restricted(policy string) []string {
	s.t.Helper()
	sts, err := credentials.NewSTSAssumeRole("http://"+s.Address, credentials.STSAssumeRoleOptions{
		AccessKey: s.User, SecretKey: s.Secret, Policy: policy, DurationSeconds: 3600, Location: s.region(),
	})
	if err != nil {
		s.t.Fatalf("s3test: %v", err)
	}
	// A MinIO that serves objects may still be reading its users.
	var v credentials.Value
	for until := time.Now().Add(startLimit); ; time.Sleep(50 * time.Millisecond) {
		v, err = sts.GetWithContext(&credentials.CredContext{Client: &http.Client{Timeout: startLimit}})
		if err == nil || !strings.Contains(err.Error(), "not initialized") || time.Now().After(until) {
			break
		}
	}
	if err != nil {
		s.t.Fatalf("s3test: credentials for a policy: %v", err)
	}
	return []string{"AWS_ACCESS_KEY_ID=" + v.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + v.SecretAccessKey, "AWS_SESSION_TOKEN=" + v.SessionToken}
}

// region is what the settings say.
func (s *Server) region() string {
	for _, v := range s.env {
		if name, ok := strings.CutPrefix(v, "MINIO_SITE_REGION="); ok {
			return name
		}
	}
	return "us-east-1"
}

// freeAddress is a loopback address that nobody listens on.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("s3test: %v", err)
	}
	defer l.Close()
	return l.Addr().String()
}
