package main

import (
	"runtime"

	"github.com/spf13/pflag"
)

// threadsFlag declares --threads, by default as many as there are CPUs. What is said of
// it is the same on every machine, since it is in docs/cli.md.
func threadsFlag(fs *pflag.FlagSet, value *int, usage string) {
	fs.IntVar(value, "threads", runtime.NumCPU(), usage)
	fs.Lookup("threads").DefValue = "all CPUs"
}
