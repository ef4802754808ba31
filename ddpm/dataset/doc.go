// Package dataset gives training its images: drawn digits that need no download,
// MNIST's IDX files, and CIFAR-10's binary files.
//
// A dataset is part of what a run's weights are a function of. So example i is
// the same bytes on every machine, each dataset has a digest that names its
// content, and nothing here is random that is not counted.
package dataset
