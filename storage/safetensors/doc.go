// Package safetensors reads and writes the safetensors file format, version as of
// Hugging Face's safetensors 0.4 and later: named tensors, stored so that they can
// be read without running or trusting anything.
//
//	8 bytes    N, the header's length, unsigned little-endian
//	N bytes    JSON: name -> {"dtype", "shape", "data_offsets": [begin, end)}
//	the rest   the tensors' bytes, little-endian, C order, without gaps
//
// Offsets count from the end of the header. "__metadata__" maps strings to strings.
// The writer pads the header with spaces to a multiple of 8 and orders tensors by
// descending alignment, then name, so that each one is aligned in the file.
//
// The reader trusts nothing: every length is checked against the file's before
// memory is taken for it, ranges must cover the data exactly, and a key that
// appears twice is refused. It reads the types and shapes of all dtypes, the
// values of F32, F16 and BF16.
package safetensors
