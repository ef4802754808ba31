package kernel

// FMAPeak keeps the multipliers of one core busy, with nothing to read or write,
// for some n·12 clock cycles, and returns the floating-point operations that it
// made, an FMA counted as two. Timed, it gives the speed that no product at this
// level can exceed.
func FMAPeak(n int) (flops int) {
	if n < 1 {
		return 0
	}
	return peak(n)
}

// peakPortable has the operations of FMA, the portable kernels' unit of work.
func peakPortable(n int) (flops int) {
	const chains = 4
	var acc [chains]float32
	for range n {
		for i := range acc {
			acc[i] = FMA(0.5, acc[i], 1)
		}
	}
	peakSink(acc)
	return n * chains * 2
}

// peakSink keeps the compiler from dropping the loop whose results it takes.
//
//go:noinline
func peakSink([4]float32) {}
