// Package nn holds the layers of the network, forward beside backward.
//
// Tensors are gorgonia's tensor.Dense of float32 on our Engine: the engine gives
// them memory from an arena and multiplies matrices by package kernel, so that
// the bits have one meaning. Activations are channels-last, [N, H, W, C].
//
// A layer's Forward keeps what its Backward needs; Backward takes the loss'
// gradient by the output and returns that by the input, and adds the gradients
// of the layer's parameters to Param.G. Backward is called once after each
// Forward, in reverse order, before the arena is reset.
package nn
