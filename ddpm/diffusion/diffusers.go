package diffusion

import (
	"encoding/json"
	"fmt"
)

// DiffusersJSON is the scheduler_config.json with which Hugging Face diffusers'
// DDPMScheduler runs the same process. Every key is written: absent ones would
// take that class' defaults.
func (c Config) DiffusersJSON() ([]byte, error) {
	b, err := json.MarshalIndent(map[string]any{
		"_class_name":                "DDPMScheduler",
		"_diffusers_version":         "0.40.0",
		"beta_end":                   c.BetaEnd,
		"beta_schedule":              c.Schedule,
		"beta_start":                 c.BetaStart,
		"clip_sample":                !c.NoClip,
		"clip_sample_range":          1.0,
		"dynamic_thresholding_ratio": 0.995,
		"num_train_timesteps":        c.Steps,
		"prediction_type":            "epsilon",
		"rescale_betas_zero_snr":     false,
		"sample_max_value":           1.0,
		"steps_offset":               0,
		"thresholding":               false,
		"timestep_spacing":           "leading",
		"trained_betas":              nil,
		"variance_type":              c.Variance,
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode scheduler config: %w", err)
	}
	return append(b, '\n'), nil
}
