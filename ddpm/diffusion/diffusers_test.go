package diffusion

import (
	"encoding/json"
	"reflect"
	"strings"
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

// How a scheduler keeps x_0 in range is followed, by the defaults of diffusers where it
// does not say, or refused; and what is read is written again.
func TestClippingOfDiffusers(t *testing.T) {
	for _, c := range []struct {
		text   string
		noClip bool
		says   string // "" for what is taken
	}{
		{`{}`, false, ""},
		{`{"clip_sample": true, "clip_sample_range": 1.0, "thresholding": false}`, false, ""},
		{`{"clip_sample": false}`, true, ""},
		{`{"clip_sample": false, "clip_sample_range": 2.0}`, true, ""},
		{`{"clip_sample_range": 2.0}`, false, "clip_sample_range is 2; this version has 1, or clip_sample false"},
		{`{"thresholding": true}`, false, "thresholding is true"},
		{`{"clip_sample": false, "thresholding": true}`, true, "thresholding is true"},
	} {
		got, err := ReadDiffusers([]byte(c.text))
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.text, err, c.says)
		}
		if err != nil {
			continue
		}
		text, err := got.DiffusersJSON()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ReadDiffusers(text)
		if got.NoClip != c.noClip || err != nil || again != got {
			t.Errorf("%s is %+v, written and read again %+v, %v", c.text, got, again, err)
		}
	}
}
