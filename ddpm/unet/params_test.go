package unet

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

func cifar10() Config {
	return Config{
		Size: 32, InChannels: 3, OutChannels: 3, Channels: []int{128, 256, 256, 256},
		ResBlocks: 2, Attention: []int{16}, Groups: 32, NormEps: 1e-6,
	}
}

func lsun256() Config {
	c := cifar10()
	c.Size, c.Channels = 256, []int{128, 128, 256, 256, 512, 512}
	return c
}

// The lists hold the names and shapes of diffusers' UNet2DModel for the two
// published architectures.
func TestParamsEqualDiffusers(t *testing.T) {
	for _, v := range []struct {
		list   string
		config Config
		total  int
	}{
		{"testdata/cifar10_params.tsv", cifar10(), 35_746_307},
		{"testdata/lsun256_params.tsv", lsun256(), 113_673_219},
	} {
		text, err := os.ReadFile(v.list)
		if err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		for _, p := range v.config.Params() {
			shape := strings.Trim(strings.ReplaceAll(fmt.Sprint(p.Shape), " ", "x"), "[]")
			fmt.Fprintf(&got, "%s\t%s\n", p.Name, shape)
		}
		if got.String() != string(text) {
			t.Errorf("%s: names, shapes or order differ:\n%s", v.list, got.String())
		}
		if n := v.config.ParamCount(); n != v.total {
			t.Errorf("%s: %d parameters, want %d", v.list, n, v.total)
		}
	}
}

// Ho's code starts the last layer of every residual branch, and the network's, at
// almost zero; biases at zero, norms at one.
func TestInitialisationByName(t *testing.T) {
	count := map[Init]int{}
	for _, p := range cifar10().Params() {
		want := InitFanAvg
		norm := strings.Contains(p.Name, "norm")
		switch {
		case strings.HasSuffix(p.Name, ".bias"):
			want = InitZero
		case norm:
			want = InitOne
		case strings.HasSuffix(p.Name, ".conv2.weight"), strings.HasSuffix(p.Name, ".to_out.0.weight"), p.Name == "conv_out.weight":
			want = InitFanAvgTiny
		}
		if p.Init != want {
			t.Errorf("%s starts as %d, want %d", p.Name, p.Init, want)
		}
		count[p.Init]++
	}
	// 22 residual blocks, 6 attentions, conv_out.
	if count[InitFanAvgTiny] != 22+6+1 {
		t.Errorf("%d tensors start at almost zero, want 29", count[InitFanAvgTiny])
	}
}

func TestParamsTileTheVector(t *testing.T) {
	next := 0
	for _, p := range cifar10().Params() {
		if p.Offset != next {
			t.Fatalf("%s starts at %d, want %d", p.Name, p.Offset, next)
		}
		next += p.Len()
	}
}

func TestValidateNamesTheField(t *testing.T) {
	if err := cifar10().Validate(); err != nil {
		t.Fatal(err)
	}
	for want, edit := range map[string]func(*Config){
		"size":         func(c *Config) { c.Size = 30 },
		"channels[1]":  func(c *Config) { c.Channels = []int{128, 250, 256, 256} },
		"out_channels": func(c *Config) { c.OutChannels = 1 },
		"groups":       func(c *Config) { c.Groups = 0 },
		"dropout":      func(c *Config) { c.Dropout = 1 },
		"embedding":    func(c *Config) { c.Channels = []int{3}; c.Groups = 3 },
	} {
		c := cifar10()
		edit(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error about %s, got %v", want, err)
		}
	}
}
