package diffusion

import (
	"encoding/json"
	"errors"
	"fmt"
)

// ReadDiffusers reads a scheduler_config.json of diffusers. Whichever scheduler it
// names, what is read is the process that the network was trained for; absent keys
// take the defaults of DDPMScheduler's constructor. A process that this package
// does not have is refused.
func ReadDiffusers(text []byte) (Config, error) {
	d := struct {
		Steps        int       `json:"num_train_timesteps"`
		BetaStart    float64   `json:"beta_start"`
		BetaEnd      float64   `json:"beta_end"`
		Schedule     string    `json:"beta_schedule"`
		TrainedBetas []float64 `json:"trained_betas"`
		Variance     string    `json:"variance_type"`
		Prediction   string    `json:"prediction_type"`
		ZeroSNR      bool      `json:"rescale_betas_zero_snr"`
		Clip         bool      `json:"clip_sample"`
		ClipRange    float64   `json:"clip_sample_range"`
		Threshold    bool      `json:"thresholding"`
	}{
		Steps: 1000, BetaStart: 1e-4, BetaEnd: 0.02, Schedule: "linear",
		Variance: FixedSmall, Prediction: "epsilon", Clip: true, ClipRange: 1,
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return Config{}, fmt.Errorf("scheduler config: %w", err)
	}
	var errs []error
	only := func(ok bool, key string, value, want any) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s is %v; this version has %v", key, value, want))
		}
	}
	only(len(d.TrainedBetas) == 0, "trained_betas", "a list", "null")
	only(d.Prediction == "epsilon", "prediction_type", d.Prediction, "epsilon")
	only(!d.ZeroSNR, "rescale_betas_zero_snr", true, false)
	only(!d.Threshold, "thresholding", true, false)
	only(!d.Clip || d.ClipRange == 1, "clip_sample_range", d.ClipRange, "1, or clip_sample false")
	c := Config{
		Steps: d.Steps, BetaStart: d.BetaStart, BetaEnd: d.BetaEnd, Schedule: d.Schedule, Variance: d.Variance, NoClip: !d.Clip,
	}
	if err := errors.Join(append(errs, c.Validate())...); err != nil {
		return Config{}, fmt.Errorf("scheduler config: %w", err)
	}
	return c, nil
}
