// Package packed is the form in which a Store keeps a dataset: images of one shape,
// one after the other, in objects of about 32 MiB.
//
//	dataset.json       shape, count, classes, resize rule, and of every object its size and SHA-256
//	images-00000.bin   the first images
//	images-00001.bin   …
//
// # Objects
//
// A block is as many whole images as fit in 64 KiB, or one that doesn't fit; an
// object is as many whole blocks as fit in 32 MiB, or one. So the shape alone
// decides where image i is. An object of c images in b blocks is
//
//	c · height·width·channels bytes   the images: rows from the top, channels last
//	c · 4 bytes                       their classes, little-endian; 0xffffffff is none
//	b · 32 bytes                      the SHA-256 of each block
//
// # Hashes
//
// Whoever trains reads a few images of an object here and there, so the hash of the
// whole object is of no use then. The hash of each block is what a ranged read is
// checked by; the hash of an object's list of them, its root, stands in
// dataset.json; and the digest of the dataset is
//
//	SHA-256("images " shape " " count "\n" root root …)
//
// The digest is a function of the images and their order, whatever form they came
// from: package dataset computes the same one for files that it reads into memory.
// A reader recomputes it from dataset.json as it opens a dataset, and each image
// that it gives has been checked against it from there on.
//
// # Reading
//
// A Reader fetches the blocks that it was told to be needed next (Ahead) beside the
// computation, keeps blocks of a distant Store in a folder of bounded size, and
// measures how long its caller waited. Nothing of it grows with the dataset but
// the manifest, which has about 300 bytes an object; and the labels, four bytes an
// image, where they are asked for.
package packed
