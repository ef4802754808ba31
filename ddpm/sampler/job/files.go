package job

import (
	"fmt"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/unet"
	"github.com/ddpm-cluster/ddpm-cluster/internal/picture"
)

// Names of a job's files.
const (
	GridName       = "grid.png"
	NPZName        = "samples.npz"
	TrajectoryName = "trajectory.png"
	// JobName is written last: who finds it finds all the others.
	JobName = "job.json"
)

// MaxGrid bounds the images of the grid, the first ones of the job.
const MaxGrid = 1024

// ImageName is the file of an image.
func ImageName(number int) string { return fmt.Sprintf("images/%06d.png", number) }

// Choice says which files are made beside the images and job.json.
type Choice struct{ Grid, NPZ bool }

// Files makes the files of a job and gives each to put, job.json last. images are
// all of the job, in order.
func Files(j Job, model unet.Config, images []Image, choice Choice, put func(name string, content []byte) error) error {
	for _, im := range images {
		if err := PutImage(im, model, put); err != nil {
			return err
		}
	}
	return Summary(j, model, images, choice, put)
}

// PutImage makes the file of one image.
func PutImage(im Image, model unet.Config, put func(name string, content []byte) error) error {
	return putPNG(put, ImageName(im.Number), [][]uint8{im.Pixels}, model, picture.Layout{Columns: 1, Zoom: 1})
}

// Summary makes the files of a job that PutImage does not make.
func Summary(j Job, model unet.Config, images []Image, choice Choice, put func(name string, content []byte) error) error {
	if len(images) != j.N {
		return fmt.Errorf("a job of %d images has %d", j.N, len(images))
	}
	for i, im := range images {
		if im.Number != i {
			return fmt.Errorf("image %d of the job is missing or out of order: image %d is there", i, im.Number)
		}
	}
	if choice.Grid {
		if err := putPNG(put, GridName, pixels(images[:min(len(images), MaxGrid)]), model, picture.Layout{Gutter: true}); err != nil {
			return err
		}
	}
	if choice.NPZ {
		if err := putNPZ(put, images, model); err != nil {
			return err
		}
	}
	if j.Frames > 0 {
		if err := putTrajectory(put, images, model); err != nil {
			return err
		}
	}
	b, err := j.Encode()
	if err != nil {
		return err
	}
	return put(JobName, b)
}

func pixels(images []Image) [][]uint8 {
	p := make([][]uint8, len(images))
	for i, im := range images {
		p[i] = im.Pixels
	}
	return p
}

func putPNG(put func(string, []byte) error, name string, images [][]uint8, model unet.Config, layout picture.Layout) error {
	b, err := layout.PNG(images, model.Size, model.InChannels)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return put(name, b)
}

func putNPZ(put func(string, []byte) error, images []Image, model unet.Config) error {
	b, err := npz(images, model)
	if err != nil {
		return fmt.Errorf("%s: %w", NPZName, err)
	}
	return put(NPZName, b)
}

// putTrajectory draws the first images' way, a column an image: x_t above, x̂_0
// below. The finished images stand still at the end.
func putTrajectory(put func(string, []byte) error, images []Image, model unet.Config) error {
	shown := images[:min(len(images), TrajectoryImages)]
	var frames [][][]uint8
	for k := range shown[0].Frames {
		var xt, x0 [][]uint8
		for _, im := range shown {
			if k >= len(im.Frames) {
				return fmt.Errorf("%s: image %d has %d frames, not %d", TrajectoryName, im.Number, len(im.Frames), len(shown[0].Frames))
			}
			xt, x0 = append(xt, im.Frames[k].XT), append(x0, im.Frames[k].X0)
		}
		frames = append(frames, append(xt, x0...))
	}
	end := pixels(shown)
	frames = append(frames, append(end, end...))
	b, err := picture.Layout{Columns: len(shown), Gutter: true}.Animation(frames, model.Size, model.InChannels)
	if err != nil {
		return fmt.Errorf("%s: %w", TrajectoryName, err)
	}
	return put(TrajectoryName, b)
}
