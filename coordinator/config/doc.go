// Package config is how a coordinator is configured: one struct, filled by
// defaults, then a YAML file, then flags. A key of the file is the name of a flag.
package config
