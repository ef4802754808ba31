// Package sampler draws images from a trained network: the paper's ancestral
// sampler (Ho et al. 2020, algorithm 2), DDIM (Song, Meng, Ermon 2021),
// DPM-Solver++(2M) (Lu et al. 2022), UniPC-2 (Zhao et al. 2023) and Heun's method
// (Karras et al. 2022), each a Solver. Their tests hold each step against
// diffusers' scheduler of the same name.
//
// Image i of a seed is a function of (weights, settings, seed, i) alone: its
// start and every noise that is added to it are counted (package rng), and the
// network treats the images of a batch independently, so that neither the batch
// size nor who draws which image changes a bit of it.
package sampler
