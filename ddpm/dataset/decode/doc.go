// Package decode turns image files into bytes of red, green and blue, or of grey:
// JPEG, PNG, GIF (its first frame), WebP (not animated) and BMP.
//
// All arithmetic is in integers. What a file leaves open is settled here:
//
//   - Transparency is laid over white.
//   - 16 bits become 8 by leaving out the lower ones.
//   - Colour becomes grey as (299·R + 587·G + 114·B + 500) / 1000, grey becomes colour
//     by three equal channels.
//   - JPEG's colours are JFIF's full range; lossy WebP's are BT.601's studio range, as
//     libwebp has them. Both enlarge the colour planes by repetition, where other
//     programs may blend: edges of strong colour can differ from theirs.
//   - A camera's note of how it was held (Exif) is not looked at.
//
// Go's decoders may change a pixel by one between Go's versions, so the digest of an
// import names what came out, and nothing else is compared.
package decode
