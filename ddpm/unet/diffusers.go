package unet

import (
	"encoding/json"
	"fmt"
	"slices"
)

// DiffusersJSON is the config.json with which Hugging Face diffusers'
// UNet2DModel builds the same network. Every key is written: absent ones would
// take that class' defaults, which differ from the paper's.
func (c Config) DiffusersJSON() ([]byte, error) {
	down := make([]string, c.Levels())
	for i := range down {
		down[i] = "DownBlock2D"
		if c.HasAttention(i) {
			down[i] = "AttnDownBlock2D"
		}
	}
	up := make([]string, c.Levels())
	for i := range up {
		up[i] = "UpBlock2D"
		if c.HasAttention(c.Levels() - 1 - i) {
			up[i] = "AttnUpBlock2D"
		}
	}
	var classes any
	if c.ClassEmbeds > 0 {
		classes = c.ClassEmbeds
	}
	var headDim any // null is one head
	if c.HeadDim > 0 {
		headDim = c.HeadDim
	}
	padding, shift := 0, 1
	if c.PadAllSides {
		padding = 1
	}
	if c.Unshifted {
		shift = 0
	}
	b, err := json.MarshalIndent(map[string]any{
		"_class_name":             "UNet2DModel",
		"_diffusers_version":      "0.40.0",
		"act_fn":                  "silu",
		"add_attention":           true,
		"attention_head_dim":      headDim,
		"attn_norm_num_groups":    nil,
		"block_out_channels":      slices.Clone(c.Channels),
		"center_input_sample":     false,
		"class_embed_type":        nil,
		"down_block_types":        down,
		"downsample_padding":      padding,
		"downsample_type":         "conv",
		"dropout":                 c.Dropout,
		"flip_sin_to_cos":         c.CosFirst,
		"freq_shift":              shift,
		"in_channels":             c.InChannels,
		"layers_per_block":        c.ResBlocks,
		"mid_block_scale_factor":  1,
		"mid_block_type":          "UNetMidBlock2D",
		"norm_eps":                c.NormEps,
		"norm_num_groups":         c.Groups,
		"num_class_embeds":        classes,
		"num_train_timesteps":     nil,
		"out_channels":            c.OutChannels,
		"resnet_time_scale_shift": "default",
		"sample_size":             c.Size,
		"time_embedding_dim":      nil,
		"time_embedding_type":     "positional",
		"up_block_types":          up,
		"upsample_type":           "conv",
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode unet config: %w", err)
	}
	return append(b, '\n'), nil
}
