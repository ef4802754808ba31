package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
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
	root, err := document(text)
	if err != nil {
		return fmt.Errorf("--config %s: %w", path, err)
	}
	if root == nil {
		return nil
	}
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

// document parses the one document of a file, nil where there is nothing in it.
func document(text []byte) (*yaml.Node, error) {
	d := yaml.NewDecoder(bytes.NewReader(text))
	var doc, more yaml.Node
	if err := d.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		// The scanner leaves a line out where it is the first.
		if what, ok := strings.CutPrefix(err.Error(), "yaml: found "); ok {
			err = fmt.Errorf("yaml: line 1: found %s", what)
		}
		return nil, err
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, errors.Join(errors.New("must hold one document"), err)
	}
	return doc.Content[0], nil
}

// set takes one setting of the file.
func (c *Config) set(name string, value *yaml.Node, given, seen map[string]bool) error {
	if notInFile[name] {
		return fmt.Errorf("%q can only be given on the command line", name)
	}
	if c.flags.Lookup(name) == nil {
		return fmt.Errorf("unknown setting %q; did you mean %q?", name, c.nearest(name))
	}
	if seen[name] {
		return fmt.Errorf("%s is set twice", name)
	}
	seen[name] = true
	text, err := c.text(name, value)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if given[name] {
		return nil
	}
	if err := c.flags.Set(name, text); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// text is a value as the flag of the name takes it. A flag that takes several may
// have a list.
func (c *Config) text(name string, value *yaml.Node) (string, error) {
	_, several := c.flags.Lookup(name).Value.(pflag.SliceValue)
	switch {
	case value.Kind == yaml.ScalarNode && value.Tag == "!!null":
		return "", errors.New("it has no value; give one, or leave the line out")
	case value.Kind == yaml.ScalarNode:
		return value.Value, nil
	case value.Kind != yaml.SequenceNode || !several:
		return "", errors.New("must be one value")
	}
	items := make([]string, len(value.Content))
	for i, item := range value.Content {
		if item.Kind != yaml.ScalarNode || item.Tag == "!!null" {
			return "", fmt.Errorf("item %d of the list must be one value", i+1)
		}
		items[i] = item.Value
	}
	return strings.Join(items, ","), nil
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
