package diffusion

import (
	"encoding/json"
	"reflect"
	"testing"
)

// scheduler_config.json of the published models: what they say, and for what they
// leave out the defaults of diffusers' DDPMScheduler.
func TestDiffusersConfigIsThePublishedOne(t *testing.T) {
	for _, variance := range []string{FixedLarge, FixedSmall} {
		want := map[string]any{
			"_class_name": "DDPMScheduler", "beta_end": 0.02, "beta_schedule": "linear", "beta_start": 1e-4,
			"clip_sample": true, "clip_sample_range": 1.0, "dynamic_thresholding_ratio": 0.995,
			"num_train_timesteps": 1000.0, "prediction_type": "epsilon", "rescale_betas_zero_snr": false,
			"sample_max_value": 1.0, "steps_offset": 0.0, "thresholding": false, "timestep_spacing": "leading",
			"trained_betas": nil, "variance_type": variance,
		}
		text, err := Linear(variance).DiffusersJSON()
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		delete(got, "_diffusers_version")
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v\nwant %v", variance, got, want)
		}
	}
}
