// Package nn holds the layers of the network, forward beside backward.
//
// Tensors are gorgonia's tensor.Dense of float32 on our Engine: the engine gives
// them memory from an arena and multiplies matrices by package kernel, so that
// the bits have one meaning. Activations are channels-last, [N, H, W, C].
//
// # A pass
//
// Engine.Reset begins a pass. Forward goes through the network; Backward goes the
// same way back, once: from the loss' gradient by an output it gives that by the
// input, and adds the gradients of the parameters to Param.G. A pass for sampling
// begins with Engine.ResetForward and has no Backward.
//
// # Who owns a tensor
//
// A tensor has one owner, who gives it back by Engine.Release as soon as it is of
// no more use; Engine.Share makes one owner more. Memory is used again as soon as
// the last owner has released it, so no tensor may be touched after that. What a
// function returns belongs to its caller. What it is given depends on its kind:
//
//   - A layer (Conv, Linear, GroupNorm, Dropout, and the engine's own functions)
//     borrows. It keeps no tensor, so its Backward is given the input of Forward
//     once more. Those that work in place say so.
//   - A block (ResBlock, Attention, Downsample, Upsample, Head) takes over. Its
//     Forward keeps by Engine.Keep what Backward is to have, and releases all else;
//     in a pass without Backward Keep releases too, and nothing is left but what
//     somebody outside shares. Its Backward releases what Forward kept.
//
// The time embedding and the gradient by it, which all blocks read and add to, are
// lent to them in a Pass.
//
// # What is kept, and what is computed again
//
// What a convolution reads is a norm's output with SiLU and dropout on it: of a
// residual block's memory more than half, for a small part of its time. Backward
// computes it again from the norm's input, by the operations of Forward, so that
// the bits are the same.
//
//	block       keeps                           computes again
//	ResBlock    x, the skip tensor, h           x joined with the skip tensor; both convolutions' inputs
//	Attention   x                               norm(x), q, k, v, the weights, the mix
//	Upsample    x                               x with its pixels repeated
//	Downsample  x
//	Head        x                               the convolution's input
//
// A skip tensor is also the x of the next block on the way down, and a block's
// result is the x of the next, so each is there once. The statistics of the norms
// stay in the norms, and the masks of the dropouts, two bits an element, in the
// dropouts. For the CIFAR-10 network this is 11.6 MiB an image. The most
// that is in use at one time, when Backward is in the last residual blocks, is
// 13.1 MiB, which the arena fits into 14.1.
package nn
