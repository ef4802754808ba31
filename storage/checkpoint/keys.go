package checkpoint

import (
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// Keys relative to a checkpoint's folder. The first four are what diffusers reads.
const (
	ModelIndexKey      = "model_index.json"
	UNetConfigKey      = "unet/config.json"
	UNetWeightsKey     = "unet/diffusion_pytorch_model.safetensors"
	SchedulerConfigKey = "scheduler/scheduler_config.json"
	SamplesKey         = "samples.png"
	SummaryKey         = "metrics.json"
	ManifestKey        = "manifest.json"
)

// RunKey is the key of a run's config.
func RunKey(run string) string { return "runs/" + run + "/run.json" }

// MetricsKey is the key of a run's metrics.
func MetricsKey(run string) string { return "runs/" + run + "/metrics.jsonl" }

// TensorBoardPrefix begins the keys of a run's event files.
func TensorBoardPrefix(run string) string { return "runs/" + run + "/tensorboard/" }

// CheckpointsPrefix begins the keys of all of a run's checkpoints.
func CheckpointsPrefix(run string) string { return "runs/" + run + "/checkpoints/" }

// SamplesPrefix begins the keys of what a sampling job has drawn.
func SamplesPrefix(run, job string) string { return "runs/" + run + "/samples/" + job + "/" }

// EvaluationsPrefix begins the keys of what an evaluation has measured.
func EvaluationsPrefix(run, job string) string { return "runs/" + run + "/evaluations/" + job + "/" }

// StepPrefix begins the keys of the checkpoint after step steps.
func StepPrefix(run string, step uint64) string {
	return fmt.Sprintf("%sstep-%08d/", CheckpointsPrefix(run), step)
}

// PartKey is the key, relative to the checkpoint, of part index (from 0) of count.
func PartKey(index, count int) string {
	return fmt.Sprintf("state/part-%05d-of-%05d.safetensors", index, count)
}

// parseStep reads the step from a folder's name as StepPrefix writes it.
func parseStep(folder string) (uint64, bool) {
	digits, ok := strings.CutPrefix(folder, "step-")
	if !ok {
		return 0, false
	}
	step, err := strconv.ParseUint(digits, 10, 64)
	return step, err == nil && fmt.Sprintf("step-%08d", step) == folder
}

var runName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

// ValidRunName refuses a name that can't be a folder everywhere.
func ValidRunName(run string) error {
	if !runName.MatchString(run) || strings.Contains(run, "..") {
		return fmt.Errorf("bad run name %q: it has 1 to 63 of a-z, 0-9, dot, underscore and hyphen, begins with a letter or digit, and has no two dots in a row", run)
	}
	return nil
}

// checkRelative refuses a key that does not stay in the checkpoint's folder, or
// that is the manifest's.
func checkRelative(rel string) error {
	if rel == "" || path.Clean(rel) != rel || rel == "." || rel == ".." ||
		strings.HasPrefix(rel, "/") || strings.HasPrefix(rel, "../") || rel == ManifestKey {
		return fmt.Errorf("bad object key %q in a checkpoint", rel)
	}
	return nil
}
