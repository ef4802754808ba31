// Package raw reads datasets in the forms in which people have them, one image after
// the other and in an order that the files alone decide.
//
//	IDX       MNIST's images, gzip or not, with the labels file beside them
//	CIFAR-10  the binary version: a .bin file, its folder, or its archive
//	folder    image files, whose parent folders are their classes; sorted by path
//	tar       archives of image files, and webdataset's shards; in their own order
//	npz       an array arr_0 of images, uint8, N x H x W x C or N x H x W; labels in arr_1
//	parquet   Hugging Face's image folders: a column with bytes, one with labels
//	LMDB      keys with image files as values, as LSUN has them
//
// A folder, or all below a prefix, is one of these by the names of its files, in
// this order of precedence; files of other names are not looked at. Names that begin
// with a dot are skipped, and a folder that is a link is a folder. Where parquet files
// or archives have a name that begins with "train", only those are read, as data sets
// with several splits have them.
//
// # Bounds
//
// A file is believed in nothing: what a header promises is refused where the file is
// too small for it, and otherwise memory grows with what was read. Of an image file,
// 256 MiB are read at most.
package raw
