package kernel

// rowMaxPortable returns the largest of m and x, passing over NaN.
func rowMaxPortable(x []float32, m float32) float32 {
	for _, v := range x {
		if v > m {
			m = v
		}
	}
	return m
}

// expSumPortable replaces x by Exp(s·(x-m)) and adds it to the lanes. x[0] goes
// to lane 0.
func expSumPortable(lanes *[8]float32, x []float32, m, s float32) {
	for i, v := range x {
		e := expScalar(s * (v - m))
		x[i] = e
		lanes[i%8] += e
	}
}

// dotLanesPortable adds the products a·b to the lanes. a[0] goes to lane 0.
func dotLanesPortable(lanes *[8]float32, a, b []float32) {
	for i, v := range a {
		lanes[i%8] = FMA(v, b[i], lanes[i%8])
	}
}

func softmaxGradApplyPortable(dx, dy, y []float32, sum, s float32) {
	for i, v := range y {
		dx[i] = s * (v * (dy[i] - sum))
	}
}
