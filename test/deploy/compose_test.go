package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// root is the module's folder, seen from this one.
var root = filepath.Join("..", "..")

// composition is compose.yaml, as far as it is used here.
type composition struct {
	Services map[string]service
	Volumes  map[string]any
}

type service struct {
	Image       string
	Entrypoint  []string
	Command     []string
	Environment map[string]string
	Volumes     []string
	Ports       []string
	Restart     string
	ReadOnly    bool     `yaml:"read_only"`
	CapDrop     []string `yaml:"cap_drop"`
	SecurityOpt []string `yaml:"security_opt"`
	StopGrace   string   `yaml:"stop_grace_period"`
	Tmpfs       []string
	Healthcheck struct {
		Test     []string
		Interval string
		Retries  int
	}
	Build     map[string]string
	DependsOn map[string]map[string]string `yaml:"depends_on"`
	Deploy    struct{ Replicas int }
}

func compose(t *testing.T) composition {
	t.Helper()
	f, err := os.Open(filepath.Join(root, "deploy", "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var file struct {
		composition `yaml:",inline"`
		Name        string
		Ours        any `yaml:"x-ddpm"`
		Worker      any `yaml:"x-worker"`
	}
	d := yaml.NewDecoder(f)
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil {
		t.Fatal(err)
	}
	return file.composition
}

var variable = regexp.MustCompile(`\$\{([A-Z_]+):-([^}]*)\}`)

// expand puts values in the place of ${NAME:-default}, as compose does.
func expand(s string, values map[string]string) string {
	return variable.ReplaceAllStringFunc(s, func(v string) string {
		m := variable.FindStringSubmatch(v)
		if value, ok := values[m[1]]; ok {
			return value
		}
		return m[2]
	})
}

// What is ours runs without rights, and ports are this machine's alone.
func TestComposeIsSafe(t *testing.T) {
	c := compose(t)
	for name, s := range c.Services {
		for _, p := range s.Ports {
			if !strings.HasPrefix(p, "127.0.0.1:") {
				t.Errorf("%s publishes %s to everybody", name, p)
			}
		}
		for _, on := range s.DependsOn {
			if len(on) != 1 {
				t.Errorf("%s depends on %v", name, on)
			}
		}
		for on := range s.DependsOn {
			if _, ok := c.Services[on]; !ok {
				t.Errorf("%s depends on %s, which is no service", name, on)
			}
		}
		for _, v := range s.Volumes {
			volume, _, _ := strings.Cut(v, ":")
			if _, ok := c.Volumes[volume]; !ok {
				t.Errorf("%s mounts %s, which is no volume", name, volume)
			}
		}
		if len(s.Entrypoint) == 0 {
			continue // another project's
		}
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Equal(s.SecurityOpt, []string{"no-new-privileges:true"}) {
			t.Errorf("%s: read-only %v, drops %v, %v", name, s.ReadOnly, s.CapDrop, s.SecurityOpt)
		}
	}
}

// docker compose itself reads the file, where it is there.
func TestComposeIsValid(t *testing.T) {
	if out, err := exec.Command("docker", "compose", "version").CombinedOutput(); err != nil {
		t.Skipf("there is no docker compose here: %v, %s", err, out)
	}
	c := exec.Command("docker", "compose", "-f", filepath.Join(root, "deploy", "compose.yaml"), "config", "--quiet")
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
