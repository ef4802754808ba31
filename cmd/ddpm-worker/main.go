// Command ddpm-worker trains in a cluster: it joins a coordinator, computes its
// share of every step, and ends when the run does.
package main

import (
	"context"
	"os"

	"github.com/ddpm-cluster/ddpm-cluster/worker"
)

func main() {
	os.Exit(worker.Main(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}
