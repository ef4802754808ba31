// Package dataset gives training its images: drawn digits that need no download,
// MNIST's and CIFAR-10's files, and packed datasets in a folder or in S3, into which
// every other form is imported (packages raw, ingest and packed).
//
// A dataset is part of what a run's weights are a function of. So example i is
// the same bytes on every machine, and each dataset has a digest that names its
// content: of images a SHA-256 over their blocks and their shape (package packed), so
// that files, packed or not by gzip, and their import are the same dataset; of drawn
// digits that of the canonical URI and the generator's version.
//
// # Drawn digits
//
// glyphs:// draws digits from the Go fonts. Example i takes its words from Philox
// under the dataset's seed: class, face, height, width, turn, shear, weight of
// the stroke, shift and colours. Outlines are the font files' own integers, cut
// into lines once; each is made heavier, turned, scaled and filled in integer
// arithmetic. The only floats are the six of a turn's matrix, from package rng's
// sine and cosine, and the roots of normals, which IEEE 754 rounds correctly. So
// the images are the same on every architecture, and a golden test holds them:
// whatever changes one bit of them must raise the generator's version.
//
// # Files
//
// A path names an images file (IDX, packed by gzip or not, its labels beside it
// or absent), a CIFAR-10 .bin file, or a folder with, in this order,
//
//	train-images-idx3-ubyte   train-images.idx3-ubyte   and with .gz; then t10k-…
//	data_batch_1.bin … data_batch_5.bin                 else test_batch.bin
//	cifar-10-batches-bin/                               with the same
//
// Everything is checked as it is read: magic numbers, that the counts fit the
// file's real size before memory is taken for them, that nothing is missing or
// left over, that labels are as many as images, and that the shape is the
// model's.
package dataset
