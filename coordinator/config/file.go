package config

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/agext/levenshtein"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// notInFile are flags that make no sense in a file.
var notInFile = map[string]bool{"config": true, "help": true, "version": true, "dry-run": true}

// Load reads a YAML file: a mapping from flag names to values. Flags that were
// given on the command line win. Errors name the file and the line.
func (c *Config) Load(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return fmt.Errorf("--config %s: %w", path, err)
	}
	if len(doc.Content) == 0 {
		return nil
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		return fmt.Errorf("--config %s:%d: must be a mapping from settings to values", path, root.Line)
	}
	given := map[string]bool{}
	c.flags.Visit(func(f *pflag.Flag) { given[f.Name] = true })
	seen := map[string]bool{}
	var errs []error
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		if err := c.set(key.Value, value, given, seen); err != nil {
			errs = append(errs, fmt.Errorf("--config %s:%d: %w", path, key.Line, err))
		}
	}
	return errors.Join(errs...)
}

// set takes one setting of the file.
func (c *Config) set(name string, value *yaml.Node, given, seen map[string]bool) error {
	if c.flags.Lookup(name) == nil || notInFile[name] {
		return fmt.Errorf("unknown setting %q; did you mean %q?", name, c.nearest(name))
	}
	if seen[name] {
		return fmt.Errorf("%s is set twice", name)
	}
	seen[name] = true
	text := value.Value
	switch value.Kind {
	case yaml.ScalarNode:
	case yaml.SequenceNode:
		var items []string
		for _, item := range value.Content {
			items = append(items, item.Value)
		}
		text = strings.Join(items, ",")
	default:
		return fmt.Errorf("%s: must be one value", name)
	}
	if given[name] {
		return nil
	}
	if err := c.flags.Set(name, text); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// nearest is the setting whose name takes the fewest edits to reach.
func (c *Config) nearest(name string) string {
	best, least := "", 1<<30
	c.flags.VisitAll(func(f *pflag.Flag) {
		if d := levenshtein.Distance(name, f.Name, nil); !notInFile[f.Name] && d < least {
			best, least = f.Name, d
		}
	})
	return best
}
