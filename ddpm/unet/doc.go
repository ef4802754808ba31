// Package unet is the network of the paper (Ho, Jain, Abbeel 2020, appendix B):
// its architecture, the names of its parameters, and its forward and backward
// pass.
//
// One function names the parameters: Config.Params. Names and shapes are those
// of Hugging Face diffusers' UNet2DModel, so that a checkpoint opens there. The
// flat parameter vector holds the tensors in that order; everything outside this
// package sees the weights as that one vector.
//
// Activations are channels-last, [N, H, W, C].
package unet
