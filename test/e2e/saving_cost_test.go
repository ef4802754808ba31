package e2e

import (
	"bufio"
	"encoding/json"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/report"
	"github.com/ddpm-cluster/ddpm-cluster/internal/s3test"
)

// Saving the cifar10 state, 682 MiB, costs training at most a hundredth when it happens
// every 500 steps. That is a measurement: DDPM_TEST_SAVES says of how many checkpoints.
// The steps in the second half of the way to the next checkpoint are quiet; what the
// others take longer than their median is what a checkpoint costs, its copy, its upload
// and what a MinIO on the same machine computes included.
func TestSavingCosts(t *testing.T) {
	if os.Getenv("DDPM_TEST_SAVES") == "" {
		t.Skip("DDPM_TEST_SAVES is not set: this is a measurement, for a machine with nothing else to do")
	}
	const every, between = 24, 500
	saves := number(t, "DDPM_TEST_SAVES", 1)
	server := s3test.StartMinIO(t)
	trainEnv(t, server.Env(), t.TempDir(), "--preset", "cifar10", "--dataset", "glyphs://?size=32&channels=3&n=512",
		"--batch", "8", "--shard-size", "4", "--workers", "2", "--threads", "1", "--run", "costs", "--storage", s3test.URI(server.Address, "p"),
		"--checkpoint-every", strconv.Itoa(every), "--keep-last", "1", "--steps", strconv.Itoa((saves+1)*every)).lastLine(t)
	seconds := stepSeconds(t, server, "p/runs/costs/metrics.jsonl")
	var quiet, costs []float64
	for c := range saves {
		quiet = append(quiet, seconds[(c+1)*every+every/2:(c+2)*every-1]...)
	}
	step := median(quiet)
	for c := range saves {
		cost := 0.0
		for _, s := range seconds[(c+1)*every : (c+1)*every+every/2] {
			cost += s - step
		}
		costs = append(costs, cost)
		t.Logf("checkpoint %d cost %.2f s, %.2f steps of %.2f s", c+1, cost, cost/step, step)
	}
	share := median(costs) / (between * step)
	t.Logf("a checkpoint every %d steps costs %.2f%%", between, 100*share)
	if share > 0.01 {
		t.Errorf("that is more than 1%%")
	}
}

// stepSeconds are the seconds of a run's steps, in their order.
func stepSeconds(t *testing.T, server *s3test.Server, key string) (all []float64) {
	t.Helper()
	o, err := server.Client().GetObject(t.Context(), s3test.Bucket, key, minio.GetObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	lines := bufio.NewScanner(o)
	for lines.Scan() {
		var line report.Line
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		all = append(all, line.Seconds)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
