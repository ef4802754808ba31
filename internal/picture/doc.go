// Package picture draws sampled images into PNGs that people can look at: one image,
// a grid, an animation.
package picture
