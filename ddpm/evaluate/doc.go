// Package evaluate measures a trained network on held-out images: the variational
// bound on their likelihood in bits per dimension with its rate and distortion (Ho
// et al. 2020, section 4.3), and L_simple by t.
//
// All of it is sums over images and over timesteps. An image's part is a function
// of (weights, job, image) alone, so a job splits into tasks of any size, and
// Reduce makes one report of their results.
//
// Where not every timestep is evaluated, [0, T) is cut into strata: t = 0, whose
// term is unlike the others, and even pieces of the rest. Each image draws one t of
// each stratum, which then stands for all of it: the sum's expectation is the whole
// sum. The standard error is that of the mean over images, and holds the error of
// the images' choice as well as that of the timesteps'.
package evaluate
