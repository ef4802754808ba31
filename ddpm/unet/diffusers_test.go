package unet

import (
	"encoding/json"
	"reflect"
	"testing"
)

// The config.json of the published models (google/ddpm-cifar10-32 and the 256x256
// ones), without the version; every key of UNet2DModel's that they leave out takes
// that class' default there, and is written here.
var publishedConfigs = map[string]string{
	"cifar10": `{"_class_name":"UNet2DModel","act_fn":"silu","attention_head_dim":null,
		"block_out_channels":[128,256,256,256],"center_input_sample":false,
		"down_block_types":["DownBlock2D","AttnDownBlock2D","DownBlock2D","DownBlock2D"],
		"downsample_padding":0,"flip_sin_to_cos":false,"freq_shift":1,"in_channels":3,"layers_per_block":2,
		"mid_block_scale_factor":1,"norm_eps":1e-06,"norm_num_groups":32,"out_channels":3,"sample_size":32,
		"time_embedding_type":"positional",
		"up_block_types":["UpBlock2D","UpBlock2D","AttnUpBlock2D","UpBlock2D"]}`,
	"lsun256": `{"_class_name":"UNet2DModel","act_fn":"silu","attention_head_dim":null,
		"block_out_channels":[128,128,256,256,512,512],"center_input_sample":false,
		"down_block_types":["DownBlock2D","DownBlock2D","DownBlock2D","DownBlock2D","AttnDownBlock2D","DownBlock2D"],
		"downsample_padding":0,"flip_sin_to_cos":false,"freq_shift":1,"in_channels":3,"layers_per_block":2,
		"mid_block_scale_factor":1,"norm_eps":1e-06,"norm_num_groups":32,"out_channels":3,"sample_size":256,
		"time_embedding_type":"positional",
		"up_block_types":["UpBlock2D","AttnUpBlock2D","UpBlock2D","UpBlock2D","UpBlock2D","UpBlock2D"]}`,
}

// defaults are those of UNet2DModel's constructor that the published files rely on.
const defaults = `{"add_attention":true,"attn_norm_num_groups":null,"class_embed_type":null,"downsample_type":"conv",
	"mid_block_type":"UNetMidBlock2D","num_class_embeds":null,"num_train_timesteps":null,"dropout":0,
	"resnet_time_scale_shift":"default","time_embedding_dim":null,"upsample_type":"conv"}`

func TestDiffusersConfigsAreThePublishedOnes(t *testing.T) {
	for name, config := range map[string]Config{"cifar10": cifar10(), "lsun256": lsun256()} {
		want := map[string]any{}
		for _, text := range []string{publishedConfigs[name], defaults} {
			if err := json.Unmarshal([]byte(text), &want); err != nil {
				t.Fatal(err)
			}
		}
		text, err := config.DiffusersJSON()
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		delete(got, "_diffusers_version")
		for key := range got {
			if _, ok := want[key]; !ok {
				t.Errorf("%s: key %s is not diffusers'", name, key)
			}
		}
		for key, value := range want {
			if !reflect.DeepEqual(got[key], value) {
				t.Errorf("%s: %s is %v, want %v", name, key, got[key], value)
			}
		}
	}
}
