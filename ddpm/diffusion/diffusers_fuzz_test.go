package diffusion

import "testing"

// Whatever a scheduler_config.json holds, it is a process with a schedule, or an error.
func FuzzReadDiffusers(f *testing.F) {
	for _, text := range []string{
		`{}`, `null`, `[]`, `{"num_train_timesteps":1000,"beta_start":0.0001,"beta_end":0.02,"beta_schedule":"linear","variance_type":"fixed_large"}`,
		`{"num_train_timesteps":1000000000000}`, `{"num_train_timesteps":-1}`, `{"beta_start":1e308,"beta_end":-1}`,
		`{"beta_schedule":"squaredcos_cap_v2"}`, `{"trained_betas":[0.1]}`, `{"beta_start":0.5,"beta_end":0.5,"num_train_timesteps":1}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := ReadDiffusers(text)
		if err != nil {
			return
		}
		if err := c.Validate(); err != nil {
			t.Errorf("%s is accepted: %v", text, err)
		}
		if tables := NewTables(c); len(tables.Beta) != c.Steps || tables.AlphaBar[c.Steps-1] < 0 {
			t.Errorf("%s: %d betas of %d steps", text, len(tables.Beta), c.Steps)
		}
	})
}
