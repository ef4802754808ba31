//go:build !purego

package kernel

//go:generate go -C _asm run . -set winograd -out ../winograd_amd64.s -stubs ../winograd_stubs_amd64.go -pkg kernel

// floatBytes turns strides in elements into the assembly's.
const floatBytes = 4

func winogradInput(dst []float32, dstRow, dstCol int, src []float32, srcRow, srcCol, groups int) {
	switch {
	case useAVX512:
		winogradInputAVX512(&dst[0], floatBytes*dstRow, floatBytes*dstCol, &src[0], floatBytes*srcRow, floatBytes*srcCol, groups)
	case useAVX2:
		winogradInputAVX2(&dst[0], floatBytes*dstRow, floatBytes*dstCol, &src[0], floatBytes*srcRow, floatBytes*srcCol, groups)
	default:
		winogradInputPortable(dst, dstRow, dstCol, src, srcRow, srcCol, groups)
	}
}

func winogradInputGrad(dst []float32, dstRow, dstCol int, src []float32, srcRow, srcCol, groups int) {
	switch {
	case useAVX512:
		winogradInputGradAVX512(&dst[0], floatBytes*dstRow, floatBytes*dstCol, &src[0], floatBytes*srcRow, floatBytes*srcCol, groups)
	case useAVX2:
		winogradInputGradAVX2(&dst[0], floatBytes*dstRow, floatBytes*dstCol, &src[0], floatBytes*srcRow, floatBytes*srcCol, groups)
	default:
		winogradInputGradPortable(dst, dstRow, dstCol, src, srcRow, srcCol, groups)
	}
}

func winogradOutput(dst []float32, dstRow, dstCol int, src []float32, srcRow, srcCol, groups int, bias []float32) {
	switch {
	case useAVX512:
		winogradOutputAVX512(&dst[0], floatBytes*dstRow, floatBytes*dstCol, &src[0], floatBytes*srcRow, floatBytes*srcCol, groups, &bias[0])
	case useAVX2:
		winogradOutputAVX2(&dst[0], floatBytes*dstRow, floatBytes*dstCol, &src[0], floatBytes*srcRow, floatBytes*srcCol, groups, &bias[0])
	default:
		winogradOutputPortable(dst, dstRow, dstCol, src, srcRow, srcCol, groups, bias)
	}
}

func winogradOutputGrad(dst []float32, dstRow, dstCol int, src []float32, srcRow, srcCol, groups int) {
	switch {
	case useAVX512:
		winogradOutputGradAVX512(&dst[0], floatBytes*dstRow, floatBytes*dstCol, &src[0], floatBytes*srcRow, floatBytes*srcCol, groups)
	case useAVX2:
		winogradOutputGradAVX2(&dst[0], floatBytes*dstRow, floatBytes*dstCol, &src[0], floatBytes*srcRow, floatBytes*srcCol, groups)
	default:
		winogradOutputGradPortable(dst, dstRow, dstCol, src, srcRow, srcCol, groups)
	}
}

func winogradWeight(dst []float32, dstRow, dstCol int, src []float32, srcRow, srcCol, groups int) {
	switch {
	case useAVX512:
		winogradWeightAVX512(&dst[0], floatBytes*dstRow, floatBytes*dstCol, &src[0], floatBytes*srcRow, floatBytes*srcCol, groups)
	case useAVX2:
		winogradWeightAVX2(&dst[0], floatBytes*dstRow, floatBytes*dstCol, &src[0], floatBytes*srcRow, floatBytes*srcCol, groups)
	default:
		winogradWeightPortable(dst, dstRow, dstCol, src, srcRow, srcCol, groups)
	}
}

func winogradWeightGrad(dst []float32, dstRow, dstCol int, src []float32, srcRow, srcCol, groups int) {
	switch {
	case useAVX512:
		winogradWeightGradAVX512(&dst[0], floatBytes*dstRow, floatBytes*dstCol, &src[0], floatBytes*srcRow, floatBytes*srcCol, groups)
	case useAVX2:
		winogradWeightGradAVX2(&dst[0], floatBytes*dstRow, floatBytes*dstCol, &src[0], floatBytes*srcRow, floatBytes*srcCol, groups)
	default:
		winogradWeightGradPortable(dst, dstRow, dstCol, src, srcRow, srcCol, groups)
	}
}

func winogradTiles(c []float32, width int, a, b []float32, groups int, mode sumMode) {
	wide := width == columnGroup
	switch {
	case useAVX512 && wide:
		winogradTiles32AVX512(&c[0], &a[0], &b[0], groups, int(mode))
	case useAVX512:
		winogradTiles16AVX512(&c[0], &a[0], &b[0], groups, int(mode))
	case useAVX2 && wide:
		winogradTiles32AVX2(&c[0], &a[0], &b[0], groups, int(mode))
	case useAVX2:
		winogradTiles16AVX2(&c[0], &a[0], &b[0], groups, int(mode))
	default:
		winogradTilesPortable(c, width, a, b, groups, mode)
	}
}

func winogradChannels(c []float32, width int, a []float32, aStep int, b []float32, bStep, blocks int, mode sumMode) {
	wide := width == columnGroup
	switch {
	case useAVX512 && wide:
		winogradChannels32AVX512(&c[0], &a[0], floatBytes*aStep, &b[0], floatBytes*bStep, blocks, int(mode))
	case useAVX512:
		winogradChannels16AVX512(&c[0], &a[0], floatBytes*aStep, &b[0], floatBytes*bStep, blocks, int(mode))
	case useAVX2 && wide:
		winogradChannels32AVX2(&c[0], &a[0], floatBytes*aStep, &b[0], floatBytes*bStep, blocks, int(mode))
	case useAVX2:
		winogradChannels16AVX2(&c[0], &a[0], floatBytes*aStep, &b[0], floatBytes*bStep, blocks, int(mode))
	default:
		winogradChannelsPortable(c, width, a, aStep, b, bStep, blocks, mode)
	}
}
