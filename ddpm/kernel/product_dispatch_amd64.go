//go:build !purego

package kernel

//go:generate go -C _asm run . -set product -out ../product_amd64.s -stubs ../product_stubs_amd64.go -pkg kernel

// tileRows returns the largest number of rows of this level's micro tiles.
func tileRows() int {
	if useAVX512 {
		return 8
	}
	return 6
}

func micro(a []float32, aRow []int, kStep int, segs []segment, b panels, c []float32, cRow []int, d []float32, dRow []int) {
	if !useAVX2 || len(segs) == 0 {
		microPortable(a, aRow, kStep, segs, b, c, cRow, d, dRow)
		return
	}
	pa, pb, pc, ar, cr, dr, sg, n := &a[0], &b.data[0], &c[0], &aRow[0], &cRow[0], &dRow[0], &segs[0].a, len(segs)
	var pd *float32
	if d != nil {
		pd = &d[0]
	}
	if !useAVX512 {
		switch len(aRow) {
		case 1:
			micro1x16AVX2(pa, ar, kStep, sg, n, pb, b.stride, b.n, pc, cr, pd, dr)
		case 2:
			micro2x16AVX2(pa, ar, kStep, sg, n, pb, b.stride, b.n, pc, cr, pd, dr)
		case 3:
			micro3x16AVX2(pa, ar, kStep, sg, n, pb, b.stride, b.n, pc, cr, pd, dr)
		case 4:
			micro4x16AVX2(pa, ar, kStep, sg, n, pb, b.stride, b.n, pc, cr, pd, dr)
		case 5:
			micro5x16AVX2(pa, ar, kStep, sg, n, pb, b.stride, b.n, pc, cr, pd, dr)
		case 6:
			micro6x16AVX2(pa, ar, kStep, sg, n, pb, b.stride, b.n, pc, cr, pd, dr)
		}
		return
	}
	// Two panels at a time, and then the one that is left.
	if pairs := b.n / 2; pairs > 0 {
		switch len(aRow) {
		case 1:
			micro1x32AVX512(pa, ar, kStep, sg, n, pb, b.stride, pairs, pc, cr, pd, dr)
		case 2:
			micro2x32AVX512(pa, ar, kStep, sg, n, pb, b.stride, pairs, pc, cr, pd, dr)
		case 3:
			micro3x32AVX512(pa, ar, kStep, sg, n, pb, b.stride, pairs, pc, cr, pd, dr)
		case 4:
			micro4x32AVX512(pa, ar, kStep, sg, n, pb, b.stride, pairs, pc, cr, pd, dr)
		case 5:
			micro5x32AVX512(pa, ar, kStep, sg, n, pb, b.stride, pairs, pc, cr, pd, dr)
		case 6:
			micro6x32AVX512(pa, ar, kStep, sg, n, pb, b.stride, pairs, pc, cr, pd, dr)
		case 7:
			micro7x32AVX512(pa, ar, kStep, sg, n, pb, b.stride, pairs, pc, cr, pd, dr)
		case 8:
			micro8x32AVX512(pa, ar, kStep, sg, n, pb, b.stride, pairs, pc, cr, pd, dr)
		}
	}
	if b.n%2 == 0 {
		return
	}
	done := b.n - 1
	pb, pc = &b.data[done*b.stride], &c[done*panelCols]
	if d != nil {
		pd = &d[done*panelCols]
	}
	switch len(aRow) {
	case 1:
		micro1x16AVX512(pa, ar, kStep, sg, n, pb, b.stride, 1, pc, cr, pd, dr)
	case 2:
		micro2x16AVX512(pa, ar, kStep, sg, n, pb, b.stride, 1, pc, cr, pd, dr)
	case 3:
		micro3x16AVX512(pa, ar, kStep, sg, n, pb, b.stride, 1, pc, cr, pd, dr)
	case 4:
		micro4x16AVX512(pa, ar, kStep, sg, n, pb, b.stride, 1, pc, cr, pd, dr)
	case 5:
		micro5x16AVX512(pa, ar, kStep, sg, n, pb, b.stride, 1, pc, cr, pd, dr)
	case 6:
		micro6x16AVX512(pa, ar, kStep, sg, n, pb, b.stride, 1, pc, cr, pd, dr)
	case 7:
		micro7x16AVX512(pa, ar, kStep, sg, n, pb, b.stride, 1, pc, cr, pd, dr)
	case 8:
		micro8x16AVX512(pa, ar, kStep, sg, n, pb, b.stride, 1, pc, cr, pd, dr)
	}
}

func peak(n int) (flops int) {
	const chains, perFMA = 12, 2
	switch {
	case useAVX512:
		peakAVX512(n)
		return n * chains * 16 * perFMA
	case useAVX2:
		peakAVX2(n)
		return n * chains * 8 * perFMA
	}
	return peakPortable(n)
}
