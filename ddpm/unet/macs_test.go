package unet

import "testing"

// The paper's CIFAR-10 network takes 6.222 billion multiply-adds an image.
func TestMACs(t *testing.T) {
	if got := cifar10().MACs(); got < 6_221_500_000 || got > 6_222_500_000 {
		t.Errorf("%d multiply-adds", got)
	}
}
