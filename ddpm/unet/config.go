package unet

import (
	"errors"
	"fmt"
	"slices"
)

// Config is the architecture of a U-Net: the paper's (Ho et al. 2020, appendix
// B), in the terms of its released code.
type Config struct {
	// Size is the height and width of an image, in pixels.
	Size int `json:"size"`
	// InChannels and OutChannels count the channels of x_t and of the predicted
	// eps.
	InChannels  int `json:"in_channels"`
	OutChannels int `json:"out_channels"`
	// Channels holds the width of each resolution level, finest first. Each level
	// after the first halves the resolution.
	Channels []int `json:"channels"`
	// ResBlocks counts the residual blocks of a level on the way down; the way up
	// has one more.
	ResBlocks int `json:"res_blocks"`
	// Attention lists the resolutions, in pixels, whose residual blocks are
	// followed by self-attention. The middle always has one.
	Attention []int `json:"attention"`
	// Groups is the number of groups of every group norm.
	Groups int `json:"groups"`
	// NormEps is the group norms' epsilon.
	NormEps float64 `json:"norm_eps"`
	// Dropout is the probability of zeroing an element before a residual block's
	// second convolution.
	Dropout float64 `json:"dropout"`
	// ClassEmbeds counts the rows of the class embedding; 0 is a network without
	// classes. Where a network also predicts without a class, the last row stands for
	// that.
	ClassEmbeds int `json:"class_embeds,omitempty"`

	// What follows is where a network that was trained elsewhere may depart from the
	// paper's; the zero values are the paper's.

	// HeadDim is the channels of a head of attention; 0 is one head of all.
	HeadDim int `json:"head_dim,omitempty"`
	// PadAllSides pads a downsampling convolution by one on all sides, not only at the
	// bottom and the right.
	PadAllSides bool `json:"pad_all_sides,omitempty"`
	// CosFirst and Unshifted are of the timesteps' sinusoids: cosines before sines,
	// and frequencies 10000^(-j/half) instead of 10000^(-j/(half-1)).
	CosFirst  bool `json:"cos_first,omitempty"`
	Unshifted bool `json:"unshifted,omitempty"`
}

// TimeChannels is the width of the time embedding: four times the first level's.
func (c Config) TimeChannels() int { return 4 * c.Channels[0] }

// Levels counts the resolution levels.
func (c Config) Levels() int { return len(c.Channels) }

// Resolution is the image size at a level, in pixels.
func (c Config) Resolution(level int) int { return c.Size >> level }

// HasAttention says whether a level's residual blocks are followed by attention.
func (c Config) HasAttention(level int) bool {
	for _, r := range c.Attention {
		if r == c.Resolution(level) {
			return true
		}
	}
	return false
}

// ImageLen counts the elements of one image: Size·Size·InChannels.
func (c Config) ImageLen() int { return c.Size * c.Size * c.InChannels }

// Bounds of what is taken for an architecture, far above any that trains.
const (
	maxLevels    = 16
	maxChannels  = 1 << 14
	maxResBlocks = 64
	maxSize      = 1 << 14
)

// Validate reports everything that is wrong with the architecture.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.InChannels < 1 || c.OutChannels != c.InChannels {
		bad("in_channels %d and out_channels %d: both must be the image's channel count", c.InChannels, c.OutChannels)
	}
	if len(c.Channels) == 0 || c.ResBlocks < 1 || c.Groups < 1 {
		bad("channels %v, res_blocks %d, groups %d: each needs at least one", c.Channels, c.ResBlocks, c.Groups)
		return errors.Join(errs...)
	}
	if len(c.Channels) > maxLevels || c.ResBlocks > maxResBlocks || slices.Max(c.Channels) > maxChannels || c.Size > maxSize || c.InChannels > maxChannels {
		bad("size %d, channels %v, res_blocks %d: more than %d pixels, %d levels of %d channels or %d blocks a level", c.Size, c.Channels, c.ResBlocks, maxSize, maxLevels, maxChannels, maxResBlocks)
		return errors.Join(errs...)
	}
	if down := 1 << (len(c.Channels) - 1); c.Size < down || c.Size%down != 0 {
		bad("size %d: must be a multiple of %d, since %d levels halve it %d times", c.Size, down, len(c.Channels), len(c.Channels)-1)
	}
	for i, ch := range c.Channels {
		if ch < 1 || ch%c.Groups != 0 {
			bad("channels[%d] = %d: must be a multiple of groups = %d", i, ch, c.Groups)
		}
	}
	if c.Channels[0] < 4 || c.Channels[0]%2 != 0 {
		bad("channels[0] = %d: must be even and at least 4, for the time embedding", c.Channels[0])
	}
	for i, ch := range c.Channels {
		attends := c.HasAttention(i) || i == c.Levels()-1 // and so does the middle
		if c.HeadDim < 0 || c.HeadDim > 0 && attends && ch%c.HeadDim != 0 {
			bad("head_dim %d: must divide channels[%d] = %d, or be 0 for one head", c.HeadDim, i, c.Channels[i])
		}
	}
	if c.NormEps <= 0 || c.Dropout < 0 || c.Dropout >= 1 {
		bad("norm_eps %g must be positive, dropout %g in [0, 1)", c.NormEps, c.Dropout)
	}
	if c.ClassEmbeds < 0 || c.ClassEmbeds > maxClassEmbeds {
		bad("class_embeds %d: must be in 0 … %d", c.ClassEmbeds, maxClassEmbeds)
	}
	return errors.Join(errs...)
}

// maxClassEmbeds bounds the rows of the class embedding.
const maxClassEmbeds = 1 << 16
