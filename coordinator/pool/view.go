package pool

import (
	"fmt"
	"strings"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/evaluate"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/sampler/job"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// View is a job as programs read it, from ddpmctl and over HTTP.
type View struct {
	ID string `json:"id"`
	// State is queued, running, done, cancelled or failed, Reason why it failed.
	State      string `json:"state"`
	Reason     string `json:"reason,omitempty"`
	Images     uint32 `json:"images"`
	ImagesDone uint32 `json:"images_done"`
	// Previews are the first images that are in the Store, by number, 16 at most.
	Previews []uint32 `json:"previews,omitempty"`
	// Fraction is the part of the drawing that is done, 0 to 1. The speeds are those
	// of the whole pool on this job, 0 while not known.
	Fraction        float64    `json:"fraction"`
	Workers         uint32     `json:"workers"`
	ImagesPerSecond float64    `json:"images_per_second"`
	StepsPerSecond  float64    `json:"steps_per_second"`
	SecondsLeft     float64    `json:"seconds_left"`
	Submitted       time.Time  `json:"submitted"`
	Ended           *time.Time `json:"ended,omitempty"`
	// Storage is the Store with the job's files, Prefix their folder in it.
	Storage string `json:"storage"`
	Prefix  string `json:"prefix"`
	// Job is what draws, Evaluation what measures: one of the two.
	Job        *job.Job      `json:"job,omitempty"`
	Evaluation *evaluate.Job `json:"evaluation,omitempty"`
}

// NewView makes the view of a job.
func NewView(s *ddpmv1.JobStatus) View {
	v := View{
		ID: s.GetId(), State: strings.ToLower(strings.TrimPrefix(s.GetState().String(), "JOB_STATE_")), Reason: s.GetReason(),
		Images: s.GetImages(), ImagesDone: s.GetImagesDone(), Previews: s.GetPreviews(), Fraction: s.GetFraction(), Workers: s.GetWorkers(),
		ImagesPerSecond: s.GetImagesPerSecond(), StepsPerSecond: s.GetStepsPerSecond(), SecondsLeft: s.GetSecondsLeft(),
		Submitted: s.GetSubmitted().AsTime(), Storage: s.GetStorage(), Prefix: s.GetPrefix(),
	}
	// What can't be read is of another version; the rest is of use.
	if j, err := job.Decode(s.GetJob()); err == nil {
		v.Job = &j
	}
	if j, err := evaluate.Decode(s.GetEvaluation()); err == nil {
		v.Evaluation = &j
	}
	if s.GetEnded() != nil {
		t := s.GetEnded().AsTime()
		v.Ended = &t
	}
	return v
}

// Checkpoint names what the job is about.
func (v View) Checkpoint() (run string, step uint64) {
	switch {
	case v.Job != nil:
		return v.Job.Run, v.Job.Step
	case v.Evaluation != nil:
		return v.Evaluation.Run, v.Evaluation.Step
	}
	return "", 0
}

// What says in a few words what the job does.
func (v View) What() string {
	switch {
	case v.Job != nil:
		return fmt.Sprintf("%s, %d steps, seed %d", v.Job.Settings.Method, v.Job.Settings.Steps, v.Job.Settings.Seed)
	case v.Evaluation != nil:
		return fmt.Sprintf("evaluation, %d timesteps of each image of %s, seed %d", v.Evaluation.Terms, v.Evaluation.Dataset, v.Evaluation.Seed)
	}
	return "of another version"
}
