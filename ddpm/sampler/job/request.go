package job

import (
	"fmt"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/sampler"
)

// Request is a job as people ask for it: what they leave out, nil or empty, follows
// the sampler and the run.
type Request struct {
	Run string `json:"run"`
	// Step names the checkpoint; nil is the newest.
	Step *uint64 `json:"step,omitempty"`
	N    int     `json:"n"`

	Sampler   string   `json:"sampler,omitempty"`
	Steps     *int     `json:"steps,omitempty"`
	Spacing   string   `json:"spacing,omitempty"`
	Eta       float64  `json:"eta,omitempty"`
	Variance  string   `json:"variance,omitempty"`
	Clip      *bool    `json:"clip,omitempty"`
	Guidance  *float64 `json:"guidance,omitempty"`
	Classes   []int    `json:"classes,omitempty"`
	Seed      uint64   `json:"seed"`
	Frames    int      `json:"frames,omitempty"`
	EndSeed   *uint64  `json:"interpolate,omitempty"` // of an interpolation
	LeaveGrid bool     `json:"no_grid,omitempty"`
	LeaveNPZ  bool     `json:"no_npz,omitempty"`
}

// DecodeRequest reads a request. Unknown keys are refused, since whoever wrote them
// expects something of them.
func DecodeRequest(b []byte) (Request, error) {
	var r Request
	err := decode(b, &r, "the request for a sampling job")
	return r, err
}

// Check finds what is wrong whatever the run.
func (r Request) Check() error {
	if r.N < 1 || r.N > MaxImages {
		return fmt.Errorf("n %d: must be in 1 … %d", r.N, MaxImages)
	}
	return nil
}

// Choice is which files the request wants.
func (r Request) Choice() Choice { return Choice{Grid: !r.LeaveGrid, NPZ: !r.LeaveNPZ} }

// Job is the job that is asked for, on a checkpoint of a run with the spec. Whether
// it is valid is for Job.Validate to say.
func (r Request) Job(spec ddpm.Spec, step uint64, digest string) Job {
	method := r.Sampler
	if method == "" {
		method = sampler.Ancestral
	}
	s := sampler.Defaults(method, spec.Diffusion)
	s.Seed, s.Eta, s.Classes = r.Seed, r.Eta, r.Classes
	if r.Steps != nil {
		s.Steps = *r.Steps
	}
	if r.Spacing != "" {
		s.Spacing = r.Spacing
	}
	if r.Variance != "" {
		s.Variance = r.Variance
	}
	if r.Clip != nil {
		s.Clip = *r.Clip
	}
	if r.Guidance != nil {
		s.Guidance = *r.Guidance
	}
	if r.EndSeed != nil {
		s.Towards = &sampler.Interpolation{Seed: *r.EndSeed, Images: r.N}
	}
	return Job{Format: Format, Run: r.Run, Step: step, Digest: digest, N: r.N, Settings: s, Frames: r.Frames}
}
