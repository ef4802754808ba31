package ddpm

import "testing"

// Whatever a run.json holds, it is a config that is the same when written again, or an
// error.
func FuzzDecodeSpec(f *testing.F) {
	for _, p := range Presets() {
		text, err := p.Spec.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"format":2}`))
	f.Add([]byte(`{"format":2,"batch":9223372036854775807,"shard_size":1}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := DecodeSpec(text)
		if err != nil {
			return
		}
		if s.Model.ParamCount() < 1 {
			t.Errorf("%s has no parameters", text)
		}
		again, err := s.Encode()
		if err != nil {
			t.Fatal(err)
		}
		other, err := DecodeSpec(again)
		if err != nil {
			t.Fatalf("written again, it is refused: %v", err)
		}
		if d := s.Differences(other); len(d) > 0 {
			t.Errorf("written again, it differs: %v", d)
		}
	})
}
