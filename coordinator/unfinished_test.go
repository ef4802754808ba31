package coordinator

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

// A checkpoint whose parts are being stored while a coordinator takes over is no damage.
func TestUnfinishedCheckpointIsNoDamage(t *testing.T) {
	t.Parallel()
	l, store := publishing(t)
	if _, err := checkpoint.WriteObject(t.Context(), store, "r", 3, checkpoint.SamplesKey, "image/png", []byte("a picture")); err != nil {
		t.Fatal(err)
	}
	log := &locked{}
	s := &start{store: store, log: slog.New(slog.NewTextHandler(log, nil))}
	s.plan.Run, s.plan.Spec = "r", l.keeper.spec
	if err := s.findCheckpoint(t.Context()); err != nil || s.resumes {
		t.Errorf("it resumes: %v, %v", s.resumes, err)
	}
	if text := log.String(); !strings.Contains(text, "a checkpoint is not finished") || strings.Contains(text, "corrupt") || strings.Contains(text, "WARN") {
		t.Errorf("the log says %q", text)
	}
}
