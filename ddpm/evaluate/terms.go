package evaluate

import (
	"math"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/diffusion"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/rng"
)

// measured is what one evaluation of the network tells of an image at t.
type measured struct {
	// bits is L_t of the bound in bits a dimension; x0 and eps are the mean squared
	// errors of the predicted x_0, clipped to [-1, 1], and of the predicted noise.
	bits, x0, eps float64
}

// bound holds the tables of the reverse process whose likelihood is bounded.
type bound struct {
	tables   *diffusion.Tables
	variance string
}

// measure compares a prediction with what it should have been.
func (b bound) measure(t int, x0, xt, eps, predicted []float32) measured {
	bar := b.tables.AlphaBar[t]
	inv, sigma := 1/math.Sqrt(bar), math.Sqrt(1-bar)
	post := b.tables.Posterior(t, t-1)
	// Log-variances of the posterior and of the model; at t = 0, where the posterior
	// has none, the model takes the posterior's of t = 1 (Ho's code).
	logTrue, logModel := 0.0, rng.Log(b.tables.PosteriorVariance[1])
	if t > 0 {
		logTrue, logModel = rng.Log(post.Small), rng.Log(post.Variance(b.variance))
	}
	var bits, errX0, errEps float64
	for i, x := range x0 {
		p := float64(predicted[i])
		y := max(-1, min(1, float64((float64(xt[i])-float64(sigma*p))*inv)))
		dx, de := y-float64(x), p-float64(eps[i])
		errX0 += float64(dx * dx)
		errEps += float64(de * de)
		if t == 0 {
			bits -= logDiscretized(float64(x), y, rng.Exp(float64(-logModel/2)))
			continue
		}
		mean := float64(post.X0 * dx)
		bits += float64((logModel - logTrue - 1 + float64(rng.Exp(logTrue-logModel)) + float64(float64(mean*mean)*rng.Exp(-logModel))) / 2)
	}
	n := float64(len(x0))
	return measured{bits: bits / (n * math.Ln2), x0: errX0 / n, eps: errEps / n}
}

// prior is KL(q(x_T | x_0) ‖ N(0, I)) in bits a dimension.
func (b bound) prior(x0 []float32) float64 {
	bar := b.tables.AlphaBar[len(b.tables.AlphaBar)-1]
	v := 1 - bar
	sum := 0.0
	for _, x := range x0 {
		sum += float64((v - 1 - rng.Log(v) + float64(bar*float64(float64(x)*float64(x)))) / 2)
	}
	return sum / (float64(len(x0)) * math.Ln2)
}

// logDiscretized is the log-probability of a byte's value x in [-1, 1] under a
// normal that is cut into the bytes' intervals (Ho et al. 2020, equation 13).
func logDiscretized(x, mean, inverseDeviation float64) float64 {
	const half = 1.0 / 255
	upper := normalCDF(float64((x - mean + half) * inverseDeviation))
	lower := normalCDF(float64((x - mean - half) * inverseDeviation))
	switch {
	case x < -0.999:
		lower = 0
	case x > 0.999:
		upper = 1
	}
	return rng.Log(max(upper-lower, 1e-12))
}

// normalCDF is Ho's approximation, (1 + tanh(sqrt(2/π)·(z + 0.044715·z³)))/2.
func normalCDF(z float64) float64 {
	y := float64(math.Sqrt(2/math.Pi) * (z + float64(0.044715*float64(z*z*z))))
	// (1 + tanh y)/2 = 1/(1 + e^-2y).
	return 1 / (1 + float64(rng.Exp(max(-600, min(600, -2*y)))))
}
