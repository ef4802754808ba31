package evaluate

import "github.com/ddpm-cluster/ddpm-cluster/ddpm"

// Request is a job as people ask for it: what they leave out, nil or empty, follows
// the run.
type Request struct {
	Run string `json:"run"`
	// Step names the checkpoint; nil is the newest.
	Step    *uint64 `json:"step,omitempty"`
	Dataset string  `json:"dataset"`
	N       int     `json:"n"`
	// Terms counts the timesteps of an image; 0 is all of them.
	Terms    int    `json:"terms,omitempty"`
	Bins     int    `json:"bins"`
	Variance string `json:"variance,omitempty"`
	Seed     uint64 `json:"seed"`
}

// DecodeRequest reads a request. Unknown keys are refused, since whoever wrote them
// expects something of them.
func DecodeRequest(b []byte) (Request, error) {
	var r Request
	err := decode(b, &r, "the request for an evaluation")
	return r, err
}

// Job is the job that is asked for, on a checkpoint of a run with the spec. Whether
// it is valid is for Job.Validate to say, when the dataset is known.
func (r Request) Job(spec ddpm.Spec, step uint64, digest string) Job {
	j := Job{
		Run: r.Run, Step: step, Digest: digest, Dataset: r.Dataset,
		N: r.N, Terms: r.Terms, Bins: r.Bins, Variance: r.Variance, Seed: r.Seed,
	}
	if j.Terms == 0 {
		j.Terms = spec.Diffusion.Steps
	}
	if j.Variance == "" {
		j.Variance = spec.Diffusion.Variance
	}
	return j
}
