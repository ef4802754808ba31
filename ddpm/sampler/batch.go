package sampler

import "github.com/ddpm-cluster/ddpm-cluster/ddpm/unet"

const (
	// memoryShare is the part of the available memory that a batch may take.
	memoryShare = 4
	// imagesPerThread is from where on more images at once bring nothing: the kernels
	// have work for all threads and the weights are read seldom enough.
	imagesPerThread = 8
	// maxChosen bounds the batch, so that progress and cancelling come often.
	maxChosen = 64
)

// BatchFor chooses how many images go through a network at once on a machine of so
// many bytes of available memory, 0 if not known, and threads. It changes no image.
func BatchFor(model unet.Config, memory int64, threads int) int {
	if memory <= 0 {
		return Config{}.batch(model.ImageLen())
	}
	fit := memory / memoryShare / int64(model.SamplingBytes())
	batch := int(max(1, min(fit, int64(imagesPerThread*threads), maxChosen)))
	if batch > threads {
		batch -= batch % threads // so that no thread waits for another's last image
	}
	return batch
}
