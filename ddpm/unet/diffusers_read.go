package unet

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// diffusersConfig is what UNet2DModel's config.json says. It is read over the
// defaults of that class' constructor, which an absent key takes.
type diffusersConfig struct {
	ClassName            string   `json:"_class_name"`
	SampleSize           *int     `json:"sample_size"`
	InChannels           int      `json:"in_channels"`
	OutChannels          int      `json:"out_channels"`
	CenterInputSample    bool     `json:"center_input_sample"`
	TimeEmbeddingType    string   `json:"time_embedding_type"`
	TimeEmbeddingDim     *int     `json:"time_embedding_dim"`
	FreqShift            float64  `json:"freq_shift"`
	FlipSinToCos         bool     `json:"flip_sin_to_cos"`
	DownBlockTypes       []string `json:"down_block_types"`
	MidBlockType         *string  `json:"mid_block_type"`
	UpBlockTypes         []string `json:"up_block_types"`
	BlockOutChannels     []int    `json:"block_out_channels"`
	LayersPerBlock       int      `json:"layers_per_block"`
	MidBlockScaleFactor  float64  `json:"mid_block_scale_factor"`
	DownsamplePadding    int      `json:"downsample_padding"`
	DownsampleType       string   `json:"downsample_type"`
	UpsampleType         string   `json:"upsample_type"`
	Dropout              *float64 `json:"dropout"`
	ActFn                string   `json:"act_fn"`
	AttentionHeadDim     *int     `json:"attention_head_dim"`
	NormNumGroups        int      `json:"norm_num_groups"`
	AttnNormNumGroups    *int     `json:"attn_norm_num_groups"`
	NormEps              float64  `json:"norm_eps"`
	ResnetTimeScaleShift string   `json:"resnet_time_scale_shift"`
	AddAttention         bool     `json:"add_attention"`
	ClassEmbedType       *string  `json:"class_embed_type"`
	NumClassEmbeds       *int     `json:"num_class_embeds"`
}

func diffusersDefaults() diffusersConfig {
	headDim, mid := 8, midBlockType
	return diffusersConfig{
		InChannels: 3, OutChannels: 3, TimeEmbeddingType: "positional", FlipSinToCos: true,
		DownBlockTypes:   []string{"DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"},
		UpBlockTypes:     []string{"AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"},
		MidBlockType:     &mid,
		BlockOutChannels: []int{224, 448, 672, 896}, LayersPerBlock: 2, MidBlockScaleFactor: 1,
		DownsamplePadding: 1, DownsampleType: "conv", UpsampleType: "conv", ActFn: "silu",
		AttentionHeadDim: &headDim, NormNumGroups: 32, NormEps: 1e-5, ResnetTimeScaleShift: "default", AddAttention: true,
	}
}

const midBlockType = "UNetMidBlock2D"

// ReadDiffusers reads the config.json of diffusers' UNet2DModel. dropout is what
// holds where the file does not say, which published ones don't. A network that this
// package can't compute is refused, with all that stands against it.
func ReadDiffusers(text []byte, dropout float64) (Config, error) {
	d := diffusersDefaults()
	if err := json.Unmarshal(text, &d); err != nil {
		return Config{}, fmt.Errorf("unet config: %w", err)
	}
	var errs []error
	only := func(ok bool, key string, value, want any) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s is %v; this version computes %v", key, value, want))
		}
	}
	only(d.ClassName == "UNet2DModel" || d.ClassName == "", "_class_name", d.ClassName, "UNet2DModel")
	only(!d.CenterInputSample, "center_input_sample", true, false)
	only(d.TimeEmbeddingType == "positional", "time_embedding_type", d.TimeEmbeddingType, "positional")
	only(d.FreqShift == 0 || d.FreqShift == 1, "freq_shift", d.FreqShift, "0 or 1")
	only(d.MidBlockType != nil && *d.MidBlockType == midBlockType, "mid_block_type", value(d.MidBlockType), midBlockType)
	only(d.MidBlockScaleFactor == 1, "mid_block_scale_factor", d.MidBlockScaleFactor, 1)
	only(d.DownsamplePadding == 0 || d.DownsamplePadding == 1, "downsample_padding", d.DownsamplePadding, "0 or 1")
	only(d.DownsampleType == "conv", "downsample_type", d.DownsampleType, "conv")
	only(d.UpsampleType == "conv", "upsample_type", d.UpsampleType, "conv")
	only(d.ActFn == "silu" || d.ActFn == "swish", "act_fn", d.ActFn, "silu")
	only(d.AttnNormNumGroups == nil || *d.AttnNormNumGroups == d.NormNumGroups, "attn_norm_num_groups", value(d.AttnNormNumGroups), "null")
	only(d.ResnetTimeScaleShift == "default", "resnet_time_scale_shift", d.ResnetTimeScaleShift, "default")
	only(d.AddAttention, "add_attention", false, true)
	only(d.ClassEmbedType == nil, "class_embed_type", value(d.ClassEmbedType), "null")
	only(d.NumClassEmbeds == nil, "num_class_embeds", value(d.NumClassEmbeds), "null")
	only(d.TimeEmbeddingDim == nil || len(d.BlockOutChannels) > 0 && *d.TimeEmbeddingDim == 4*d.BlockOutChannels[0],
		"time_embedding_dim", value(d.TimeEmbeddingDim), "null, four times the first width")
	only(d.SampleSize != nil, "sample_size", "null", "squares of a known size")
	if err := errors.Join(errs...); err != nil {
		return Config{}, fmt.Errorf("unet config: %w", err)
	}
	c := Config{
		Size: *d.SampleSize, InChannels: d.InChannels, OutChannels: d.OutChannels,
		Channels: d.BlockOutChannels, ResBlocks: d.LayersPerBlock, Attention: []int{},
		Groups: d.NormNumGroups, NormEps: d.NormEps, Dropout: dropout,
		PadAllSides: d.DownsamplePadding == 1, CosFirst: d.FlipSinToCos, Unshifted: d.FreqShift == 0,
	}
	if d.Dropout != nil {
		c.Dropout = *d.Dropout
	}
	if d.AttentionHeadDim != nil {
		c.HeadDim = *d.AttentionHeadDim
	}
	if err := c.readBlocks(d); err != nil {
		return Config{}, fmt.Errorf("unet config: %w", err)
	}
	if err := c.Validate(); err != nil {
		return Config{}, fmt.Errorf("unet config: %w", err)
	}
	return c, nil
}

// readBlocks sets Attention from the types of the blocks, which have to be the same
// on the way down and up.
func (c *Config) readBlocks(d diffusersConfig) error {
	levels := len(c.Channels)
	if levels == 0 || levels > 16 || len(d.DownBlockTypes) != levels || len(d.UpBlockTypes) != levels {
		return fmt.Errorf("it has %d widths, %d blocks down and %d up; all must be one number, at most 16", levels, len(d.DownBlockTypes), len(d.UpBlockTypes))
	}
	for i, down := range d.DownBlockTypes {
		up := d.UpBlockTypes[levels-1-i]
		switch {
		case down == "DownBlock2D" && up == "UpBlock2D":
		case down == "AttnDownBlock2D" && up == "AttnUpBlock2D":
			if slices.Contains(c.Attention, c.Resolution(i)) {
				return fmt.Errorf("level %d has no pixels left of a size of %d", i, c.Size)
			}
			c.Attention = append(c.Attention, c.Resolution(i))
		default:
			return fmt.Errorf("level %d has %s on the way down and %s on the way up; this version computes DownBlock2D with UpBlock2D and AttnDownBlock2D with AttnUpBlock2D", i, down, up)
		}
	}
	return nil
}

// value is what a pointer points to, or null.
func value[T any](p *T) any {
	if p == nil {
		return "null"
	}
	return *p
}
