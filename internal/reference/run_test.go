package reference

import (
	"bufio"
	"context"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// documented is how a command line of the docs is run here.
type documented struct {
	// line is how it begins in the docs.
	line string
	// as is what is run in its place, with stand-ins: the tiny preset, few steps, ports
	// that the system chooses, a folder for a bucket; "" is the line itself. ADDRESS
	// and FLAGS are by which workers join the coordinator that is there, WEB is its
	// --http.
	as string
	// until, where set, is what the process must say; then it goes on beside the others.
	until string
	// not is why it can't be run here. Its flags are still held against docs/cli.md.
	not string
}

// A checkpoint that the pages speak of, and a run that is quick.
const quick = " --preset tiny --checkpoint-every 10"

// commands of the docs, in an order in which each finds what it needs.
var documentedCommands = []documented{
	{line: "ddpm-coordinator --workers 2 --local --http", as: "ddpm-coordinator --workers 2 --local --http 127.0.0.1:0 --run digits --steps 20" + quick},
	{line: "ddpm-coordinator --workers 2 --local", as: "ddpm-coordinator --workers 2 --local --run digits --steps 22" + quick},
	{line: "go run ./cmd/ddpm-coordinator --workers 2 --local", as: "ddpm-coordinator --workers 2 --local --run digits --steps 24" + quick},
	{line: "go run ./cmd/ddpmctl sample --storage ddpm-data --run digits", as: "ddpmctl sample --storage ddpm-data --run digits --n 4 --seed 7 --out digits.png --sampler ddim --steps 3"},
	{line: "ddpmctl sample --run digits --n 16", as: "ddpmctl sample --run digits --n 4 --seed 7 --out digits2.png --sampler ddim --steps 3"},
	{line: "ddpmctl sample --storage ddpm-data --run digits", as: "ddpmctl sample --storage ddpm-data --run digits --n 4 --seed 7 --sampler ddim --steps 3 --out drawn"},
	{line: "ddpmctl sample --run digits --sampler ddim --seed 7 --interpolate", as: "ddpmctl sample --run digits --sampler ddim --steps 3 --seed 7 --interpolate 12 --n 3 --out between"},
	{line: "ddpmctl bucket create", as: "ddpmctl bucket create --storage ddpm-data"},
	{line: "ddpmctl checkpoints list"},
	{line: "ddpm-coordinator --workers 2 --local --run classes", as: "ddpm-coordinator --workers 2 --local --run classes --classes 10 --steps 2" + quick},
	{line: "ddpmctl sample --run classes", as: "ddpmctl sample --run classes --sampler ddim --steps 3 --class 3,8 --guidance 2 --n 2 --out threes-and-eights"},
	{line: "ddpmctl digest --run digits"},
	{line: "ddpmctl eval nll", as: "ddpmctl eval nll --run digits --dataset 'glyphs://?seed=2' --n 2 --terms 3"},
	{line: "ddpmctl eval loss", as: "ddpmctl eval loss --run digits --dataset 'glyphs://?seed=2&n=8' --n 4"},
	{line: "ddpmctl checkpoints list --run digits", as: "ddpmctl checkpoints list --run digits"},
	{line: "ddpmctl checkpoints show --run digits", as: "ddpmctl checkpoints show --run digits --step 10"},
	{line: "ddpmctl checkpoints verify --run digits", as: "ddpmctl checkpoints verify --run digits"},
	{line: "ddpmctl checkpoints export --run digits", as: "ddpmctl checkpoints export --run digits --out F"},
	{line: "ddpmctl checkpoints import --from F", as: "ddpmctl checkpoints import --from F --run imported"},
	{line: "ddpmctl checkpoints delete --run digits", as: "ddpmctl checkpoints delete --run digits --step 10"},
	{line: "ddpmctl data import photos/", as: "ddpmctl data import photos/ flowers --size 16"},
	{line: "ddpmctl data list"},
	{line: "ddpmctl data show flowers", as: "ddpmctl data show flowers --out flowers.png --n 4"},
	{line: "ddpmctl data verify flowers"},
	{line: "ddpmctl bench step", as: "ddpmctl bench step --preset tiny --batch 4 --threads 1 --steps 1"},
	{line: "ddpmctl bench kernels", not: "it takes minutes; its own test runs it on less"},
	{line: "ddpmctl bench wire", as: "ddpmctl bench wire --preset tiny --world 2 --warmup 1"},
	{line: "ddpmctl bench allreduce", as: "ddpmctl bench allreduce --world 2 --elements 1000 --steps 1"},
	{line: "ddpmctl bench cluster", as: "ddpmctl bench cluster --world 2 --elements 1000 --compute 10ms --steps 1"},
	{line: "ddpmctl bench coordinator", as: "ddpmctl bench coordinator --workers 3 --deaths 1 --steady 1s"},
	// A coordinator that waits for workers answers all that asks for one.
	{line: "ddpm-coordinator --workers 3 --preset cifar10 --listen", until: "msg=dashboard",
		as: "ddpm-coordinator --workers 3 --run live --listen 127.0.0.1:0 --http 127.0.0.1:0 --storage ddpm-data" + quick},
	{line: "ddpm-worker --join 10.0.0.1:7600 --token", as: "ddpm-worker --join ADDRESS FLAGS", until: "joined"},
	{line: "ddpm-worker --join 192.0.2.10:7600 --token", as: "ddpm-worker --join ADDRESS FLAGS", until: "joined"},
	{line: "ddpm-worker --role sample --join", as: "ddpm-worker --role sample --join ADDRESS FLAGS", until: "in the sampling pool"},
	{line: "ddpmctl status --config admin.conf --watch", as: "ddpmctl status --config ddpm-data/admin.conf --watch", until: "live"},
	{line: "ddpmctl status --http", as: "ddpmctl status --http WEB"},
	{line: "ddpmctl status --json", as: "ddpmctl status --json --points 200 > status.json"},
	{line: "ddpmctl status"},
	{line: "ddpmctl token create", as: "ddpmctl token create --ttl 720h --description 'rack 7' --config ddpm-data/admin.conf"},
	{line: "ddpmctl token list"},
	{line: "ddpmctl token revoke", not: "the token's name is drawn anew each time; test/e2e revokes one"},
	{line: "ddpmctl sample --config admin.conf", as: "ddpmctl sample --config ddpm-data/admin.conf --run digits --sampler ddim --steps 3 --n 4 --seed 7 --out fetched"},
	{line: "ddpmctl jobs list"},
	{line: "ddpmctl jobs show", as: "ID=$(ddpmctl jobs list --json | tr ',' '\\n' | sed -n 's/.*\"id\": *\"\\([^\"]*\\)\".*/\\1/p' | head -n 1) && ddpmctl jobs show $ID && ddpmctl jobs watch $ID"},
	{line: "ddpmctl jobs fetch", as: "ID=$(ddpmctl jobs list --json | tr ',' '\\n' | sed -n 's/.*\"id\": *\"\\([^\"]*\\)\".*/\\1/p' | head -n 1) && ddpmctl jobs fetch $ID --out again"},

	{line: "ddpmctl data import cifar-10-binary.tar.gz", not: "it wants S3 and 160 MB from elsewhere"},
	{line: "ddpmctl data import 's3://lsun", not: "it wants S3 and LSUN"},
	{line: "ddpm-coordinator --workers 8 --dataset flowers", not: "it wants S3"},
	{line: "bin/ddpm-coordinator --workers 8", not: "it wants S3 and eight machines"},
	{line: "ddpm-coordinator --standby", not: "it wants etcd on three machines; test/chaos has standbys"},
	{line: "ddpm-worker --join first:7600,second:7600", not: "it wants two coordinators; test/chaos has them"},
	{line: "ddpm-coordinator --serve-samples", not: "it wants S3; test/e2e serves a pool alone"},
}

// Every command of ours in the docs is run, in a folder of its own, or has a reason here
// why it is not.
func TestCommandsOfTheDocsRun(t *testing.T) {
	if testing.Short() {
		t.Skip("it trains")
	}
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, filepath.Join(root, "README.md")) {
		if name := filepath.Base(page); name == "cli.md" || name == "configuration.md" {
			continue // synopses, made of the commands
		}
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range commandsIn(string(text)) {
			line = strings.Join(strings.Fields(line), " ")
			if !ours.MatchString(line) {
				continue
			}
			if found := lookUp(line); found == "" {
				t.Errorf("%s: %q is run by no test: add it to the table here, with stand-ins or with the reason", page, line)
			} else {
				used[found] = true
			}
		}
	}
	s := shell{t: t, dir: t.TempDir(), bin: t.TempDir()}
	s.build(root)
	s.photos()
	for _, d := range documentedCommands {
		switch {
		case !used[d.line]:
			t.Errorf("%q is in no page any more: take it out of the table", d.line)
		case d.not == "":
			s.run(d)
		}
	}
}

// ours are lines that begin with one of our commands, maybe built, or by way of another
// program.
var ours = regexp.MustCompile(`^(bin/|go run \./cmd/)?(ddpm-coordinator|ddpm-worker|ddpmctl) `)

// lookUp is the entry that a line of the docs begins with, the longest; "" is none.
func lookUp(line string) (found string) {
	for _, d := range documentedCommands {
		if strings.HasPrefix(line, d.line) && len(d.line) > len(found) {
			found = d.line
		}
	}
	return found
}

// shell runs command lines in a folder.
type shell struct {
	t        *testing.T
	dir, bin string
	// words are ADDRESS, FLAGS and WEB, each before what it stands for.
	words []string
}

func (s *shell) build(root string) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), "go", "build", "-o", s.bin+string(filepath.Separator), "./cmd/...")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("go build: %v\n%s", err, out)
	}
}

// photos makes a folder with pictures.
func (s *shell) photos() {
	s.t.Helper()
	dir := filepath.Join(s.dir, "photos")
	if err := os.Mkdir(dir, 0o755); err != nil {
		s.t.Fatal(err)
	}
	for i := range 8 {
		m := image.NewRGBA(image.Rect(0, 0, 20, 24))
		for x := range 20 {
			m.Set(x, (x+i)%24, color.White)
		}
		f, err := os.Create(filepath.Join(dir, string(rune('a'+i))+".png"))
		if err != nil {
			s.t.Fatal(err)
		}
		if err := png.Encode(f, m); err != nil {
			s.t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			s.t.Fatal(err)
		}
	}
}

// commandLimit bounds a command; it is generous, since the machine may be slow.
const commandLimit = 2 * time.Minute

func (s *shell) command(line string) *exec.Cmd {
	line = strings.NewReplacer(s.words...).Replace(line)
	ctx, cancel := context.WithTimeout(s.t.Context(), commandLimit)
	s.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	// One that hangs says where.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGQUIT) }
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "PATH="+s.bin+":"+os.Getenv("PATH"), "XDG_CACHE_HOME="+s.dir, "DDPM_LOG_FORMAT=text")
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

func (s *shell) run(d documented) {
	s.t.Helper()
	line := d.as
	if line == "" {
		line = d.line
	}
	if d.until != "" {
		s.begin(line, d.until)
		return
	}
	began := time.Now()
	out, err := s.command(line).CombinedOutput()
	if err != nil {
		s.t.Errorf("%s: %v\n%s", line, err, out)
	}
	s.t.Logf("%s: %.1f s", line, time.Since(began).Seconds())
}

// joinLine is how a coordinator says that workers join, and webLine where its page is.
var (
	joinLine = regexp.MustCompile(`^ +ddpm-worker --join (\S+) (.*)$`)
	webLine  = regexp.MustCompile(`msg=dashboard at=http://(\S+)/`)
)

// begin starts a process that goes on, and waits until it has said something.
func (s *shell) begin(line, until string) {
	s.t.Helper()
	cmd := s.command("exec " + line)
	cmd.Cancel = func() error { return cmd.Process.Kill() } // what it would still do is tested elsewhere
	pipe, err := cmd.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	cmd.Stdout = cmd.Stderr
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	said := make(chan string, 10000)
	go func() {
		defer close(said)
		for in := bufio.NewScanner(pipe); in.Scan(); {
			said <- in.Text()
		}
	}()
	s.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		for line := range said {
			if s.t.Failed() {
				s.t.Log(line)
			}
		}
		_ = cmd.Wait()
	})
	var all []string
	heard := false
	for words := range said {
		all = append(all, words)
		heard = heard || strings.Contains(words, until)
		if m := joinLine.FindStringSubmatch(words); m != nil {
			s.words = append(s.words, "ADDRESS", m[1], "FLAGS", m[2])
		}
		if m := webLine.FindStringSubmatch(words); m != nil {
			s.words = append(s.words, "WEB", m[1])
		}
		if heard && len(s.words) > 0 {
			return
		}
	}
	s.t.Fatalf("%s: it does not say %q, but\n%s", line, until, strings.Join(all, "\n"))
}
