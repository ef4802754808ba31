package config

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The reference has every variable that the commands read.
func TestVariables(t *testing.T) {
	told := map[string]bool{}
	for _, v := range Variables() {
		told[v.Name] = true
	}
	name, read := regexp.MustCompile(`"(DDPM_[A-Z_]+)"`), 0
	for _, folder := range []string{"cmd", "coordinator", "ddpm", "internal", "storage", "worker"} {
		err := filepath.WalkDir(filepath.Join("..", "..", folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") || filepath.Base(path) == "reference.go" {
				return err
			}
			text, err := os.ReadFile(path)
			for _, m := range name.FindAllStringSubmatch(string(text), -1) {
				if strings.HasPrefix(m[1], "DDPM_TEST_") {
					continue
				}
				read++
				if !told[m[1]] {
					t.Errorf("%s reads %s, of which the reference says nothing", path, m[1])
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if read == 0 {
		t.Error("no variable was found")
	}
}
