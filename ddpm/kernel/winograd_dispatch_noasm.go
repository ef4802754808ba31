//go:build !amd64 || purego

package kernel

func winogradInput(dst []float32, dstRow, dstCol int, src []float32, srcRow, srcCol, groups int) {
	winogradInputPortable(dst, dstRow, dstCol, src, srcRow, srcCol, groups)
}

func winogradInputGrad(dst []float32, dstRow, dstCol int, src []float32, srcRow, srcCol, groups int) {
	winogradInputGradPortable(dst, dstRow, dstCol, src, srcRow, srcCol, groups)
}

func winogradOutput(dst []float32, dstRow, dstCol int, src []float32, srcRow, srcCol, groups int, bias []float32) {
	winogradOutputPortable(dst, dstRow, dstCol, src, srcRow, srcCol, groups, bias)
}

func winogradOutputGrad(dst []float32, dstRow, dstCol int, src []float32, srcRow, srcCol, groups int) {
	winogradOutputGradPortable(dst, dstRow, dstCol, src, srcRow, srcCol, groups)
}

func winogradWeight(dst []float32, dstRow, dstCol int, src []float32, srcRow, srcCol, groups int) {
	winogradWeightPortable(dst, dstRow, dstCol, src, srcRow, srcCol, groups)
}

func winogradWeightGrad(dst []float32, dstRow, dstCol int, src []float32, srcRow, srcCol, groups int) {
	winogradWeightGradPortable(dst, dstRow, dstCol, src, srcRow, srcCol, groups)
}

func winogradTiles(c []float32, width int, a, b []float32, groups int, mode sumMode) {
	winogradTilesPortable(c, width, a, b, groups, mode)
}

func winogradChannels(c []float32, width int, a []float32, aStep int, b []float32, bStep, blocks int, mode sumMode) {
	winogradChannelsPortable(c, width, a, aStep, b, bStep, blocks, mode)
}
