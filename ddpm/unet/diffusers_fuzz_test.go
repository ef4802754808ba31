package unet

import "testing"

// Whatever a config.json holds, it is a network that can be listed, written and read
// again, or an error.
func FuzzReadDiffusers(f *testing.F) {
	for _, text := range publishedConfigs {
		f.Add([]byte(text))
	}
	for _, text := range []string{
		`{}`, `{"sample_size":8}`, `{"sample_size":[8,8]}`, `null`, `[]`,
		`{"sample_size":8,"block_out_channels":[],"down_block_types":[],"up_block_types":[]}`,
		`{"sample_size":8,"layers_per_block":1000000000,"block_out_channels":[32],"down_block_types":["DownBlock2D"],"up_block_types":["UpBlock2D"]}`,
		`{"sample_size":8,"block_out_channels":[1000000000],"down_block_types":["DownBlock2D"],"up_block_types":["UpBlock2D"]}`,
		`{"sample_size":-8,"norm_num_groups":0,"attention_head_dim":-1,"block_out_channels":[0],"down_block_types":["AttnDownBlock2D"],"up_block_types":["AttnUpBlock2D"]}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := ReadDiffusers(text, 0)
		if err != nil {
			return
		}
		if c.ParamCount() < 1 {
			t.Errorf("%+v has no parameters", c)
		}
		if _, err := c.Flatten(map[string]Tensor{"conv_in.weight": {}}); err == nil {
			t.Error("no weights are enough")
		}
		again, err := c.DiffusersJSON()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ReadDiffusers(again, 0); err != nil {
			t.Errorf("%s, written again, is refused: %v", text, err)
		}
	})
}

// The published models' own files are the configs that this package has for them.
func TestReadPublishedConfigs(t *testing.T) {
	for name, want := range map[string]Config{"cifar10": cifar10(), "lsun256": lsun256()} {
		got, err := ReadDiffusers([]byte(publishedConfigs[name]), want.Dropout)
		if err != nil {
			t.Fatal(err)
		}
		a, aerr := got.DiffusersJSON()
		b, berr := want.DiffusersJSON()
		if aerr != nil || berr != nil || string(a) != string(b) {
			t.Errorf("%s: read as %s", name, a)
		}
	}
}
