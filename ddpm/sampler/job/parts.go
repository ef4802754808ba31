package job

import (
	"fmt"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/unet"
	"github.com/ddpm-cluster/ddpm-cluster/internal/picture"
)

// Where a job's tasks are drawn in several places, its images travel as their files,
// and the frames of the first ones as files of their own, which are of no use once
// the trajectory is made.

// FramesName is the file of an image's frames.
func FramesName(number int) string { return fmt.Sprintf("frames/%06d.bin", number) }

// HasFrames says whether an image of the job has frames.
func (j Job) HasFrames(number int) bool { return j.Frames > 0 && number < TrajectoryImages }

// EncodeFrames writes an image's frames: of each what the network saw, then x̂_0.
func EncodeFrames(im Image) []byte {
	var b []byte
	for _, f := range im.Frames {
		b = append(append(b, f.XT...), f.X0...)
	}
	return b
}

// DecodeFrames reads what EncodeFrames wrote.
func DecodeFrames(b []byte, model unet.Config) ([]Frame, error) {
	size := model.ImageLen()
	if len(b) == 0 || len(b)%(2*size) != 0 || len(b)/(2*size) > MaxFrames {
		return nil, fmt.Errorf("frames of %d bytes: that is no multiple of %d", len(b), 2*size)
	}
	frames := make([]Frame, 0, len(b)/(2*size))
	for ; len(b) > 0; b = b[2*size:] {
		frames = append(frames, Frame{XT: b[:size:size], X0: b[size : 2*size : 2*size]})
	}
	return frames, nil
}

// ReadImage reads image number of the job from its file, without frames.
func (j Job) ReadImage(png []byte, number, classes int, model unet.Config) (Image, error) {
	pixels, err := picture.Pixels(png, model.Size, model.InChannels)
	if err != nil {
		return Image{}, fmt.Errorf("%s: %w", ImageName(number), err)
	}
	return Image{Number: number, Class: j.Settings.Class(number, classes), Pixels: pixels}, nil
}
