package pool

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/sampler/job"
	"github.com/ddpm-cluster/ddpm-cluster/internal/picture"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
)

const (
	// previewImages bounds the images of a preview.
	previewImages = 64
	// maxImage bounds the file of an image, in bytes.
	maxImage = 64 << 20
)

// imageOf is the inverse of job.ImageName.
func imageOf(name string) (int, bool) {
	var n int
	_, err := fmt.Sscanf(name, "images/%d.png", &n)
	return n, err == nil && n >= 0 && job.ImageName(n) == name
}

// Finished lists the images of a job that are in the Store by now, ascending. prefix is
// the job's folder.
func Finished(ctx context.Context, store storage.Store, prefix string) ([]int, error) {
	objects, err := store.List(ctx, prefix+"images/")
	if err != nil {
		return nil, err
	}
	numbers := make([]int, 0, len(objects))
	for _, o := range objects {
		if n, ok := imageOf(strings.TrimPrefix(o.Key, prefix)); ok {
			numbers = append(numbers, n)
		}
	}
	return numbers, nil
}

// ReadFinished reads an image that Finished listed: size·size·channels bytes.
func ReadFinished(ctx context.Context, store storage.Store, prefix string, number int) (pixels []uint8, size, channels int, err error) {
	r, _, err := store.Get(ctx, prefix+job.ImageName(number))
	if err != nil {
		return nil, 0, 0, err
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, maxImage))
	if err != nil {
		return nil, 0, 0, err
	}
	if pixels, size, channels, err = picture.Read(text); err != nil {
		return nil, 0, 0, fmt.Errorf("%s%s: %w", prefix, job.ImageName(number), err)
	}
	return pixels, size, channels, nil
}

// preview draws images of a job on one picture.
func preview(ctx context.Context, store storage.Store, prefix string, numbers []int) ([]byte, error) {
	var all [][]uint8
	var size, channels int
	for _, n := range numbers {
		pixels, s, c, err := ReadFinished(ctx, store, prefix, n)
		if err != nil {
			return nil, err
		}
		all, size, channels = append(all, pixels), s, c
	}
	return picture.Grid(all, size, channels)
}
