package evaluate

import (
	"encoding/json"
	"fmt"
	"math"
)

// Estimate is a mean over images and its standard error.
type Estimate struct {
	Mean  float64 `json:"mean"`
	Error float64 `json:"standard_error"`
}

// Line is a row of the report: the timesteps First … Last. What is nil, null in JSON,
// was not measured, since no image drew one of these timesteps.
type Line struct {
	First int `json:"first_t"`
	Last  int `json:"last_t"`
	// Bits is the sum of the terms L_t; of t = 0 it is the distortion's likelihood. The
	// lines' sums are the total's but for L_T; one that is nil adds nothing.
	Bits *Estimate `json:"bits_per_dim"`
	// Rate is what is known once x_First is: L_T and all terms from First on, in
	// bits a dimension; L_0 is not a rate. RMSE is the distortion of x̂_0 in between,
	// in values of a byte.
	Rate float64  `json:"rate"`
	RMSE *float64 `json:"rmse"`
	// Loss is L_simple, the mean squared error of the predicted noise.
	Loss *Estimate `json:"l_simple"`
}

// Report is what a job has measured.
type Report struct {
	Job Job `json:"job"`
	// Total is the bound on the negative log-likelihood; Prior is L_T of it.
	Total Estimate `json:"bits_per_dim"`
	Prior float64  `json:"prior"`
	Lines []Line   `json:"lines"`
	// Loss is L_simple over uniform t.
	Loss Estimate `json:"l_simple"`
}

// Encode writes the report as JSON for people and programs.
func (r Report) Encode() ([]byte, error) {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the report of an evaluation: %w", err)
	}
	return append(b, '\n'), nil
}

// DecodeReport reads what Encode wrote.
func DecodeReport(b []byte) (Report, error) {
	var r Report
	err := decode(b, &r, "the report of an evaluation")
	return r, err
}

// Reduce makes the report of all results of a job, in the order of the images, for a
// process of T timesteps.
func Reduce(j Job, T int, results []Result) (Report, error) {
	if len(results) != j.N {
		return Report{}, fmt.Errorf("an evaluation of %d images has %d results", j.N, len(results))
	}
	for i, r := range results {
		if r.Image != i || len(r.Rows) != j.Bins+1 {
			return Report{}, fmt.Errorf("result %d of the evaluation is of image %d with %d rows", i, r.Image, len(r.Rows))
		}
	}
	rep := Report{Job: j, Lines: make([]Line, j.Bins+1)}
	rep.Total = estimate(results, func(r Result) float64 {
		sum := r.Prior
		for _, row := range r.Rows {
			sum += row.Bits
		}
		return sum
	})
	rep.Loss = estimate(results, func(r Result) float64 {
		sum := 0.0
		for _, row := range r.Rows {
			sum += row.Eps
		}
		return sum / float64(T)
	})
	rep.Prior = estimate(results, func(r Result) float64 { return r.Prior }).Mean
	rate := rep.Prior
	for k := j.Bins; k >= 0; k-- {
		l := line(results, k)
		if k > 0 {
			lo, hi := piece(k-1, j.Bins, T)
			l.First, l.Last = lo, hi-1
			if l.Bits != nil {
				rate += l.Bits.Mean
			}
		}
		l.Rate = rate
		rep.Lines[k] = l
	}
	return rep, nil
}

// line sums row k over the images. An image has a share in the row's means by the
// timesteps that it evaluated there.
func line(results []Result, k int) Line {
	weight, x0 := 0.0, 0.0
	for _, r := range results {
		weight += r.Rows[k].Weight
		x0 += r.Rows[k].X0
	}
	if weight == 0 {
		return Line{} // no image drew a timestep here
	}
	rmse := 127.5 * math.Sqrt(x0/weight)
	mean := weight / float64(len(results))
	bits := estimate(results, func(r Result) float64 { return r.Rows[k].Bits })
	loss := estimate(results, func(r Result) float64 { return r.Rows[k].Eps / mean })
	return Line{Bits: &bits, RMSE: &rmse, Loss: &loss}
}

// estimate is the mean of f over the images, with the standard error of that mean.
func estimate(results []Result, f func(Result) float64) Estimate {
	n := float64(len(results))
	sum := 0.0
	for _, r := range results {
		sum += f(r)
	}
	mean, squares := sum/n, 0.0
	for _, r := range results {
		d := f(r) - mean
		squares += float64(d * d)
	}
	return Estimate{Mean: mean, Error: math.Sqrt(squares / (n - 1) / n)}
}
