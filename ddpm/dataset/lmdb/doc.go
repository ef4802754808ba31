// Package lmdb reads the main database of an LMDB file (Symas' Lightning
// Memory-Mapped Database, data version 1, of a little-endian 64-bit machine), in the
// order of its keys. It is what it takes to read LSUN's data, and no more: nothing is
// written, locked or mapped, and databases inside others and keys with several
// values are refused.
//
// # Format
//
// A file is an array of pages. The first two are meta pages; the one with the higher
// transaction number counts. It names the root of a B+ tree, whose branch pages lead
// to leaf pages. A page begins with its number (8 bytes), 2 unused bytes, its flags
// (2), and where its free space begins and ends (2 and 2); then come 2-byte offsets
// of its nodes, in the order of their keys. A node is 8 bytes, the key and the
// value: lo, hi, flags and the key's size, 2 bytes each. In a branch, lo, hi and flags
// are the number of the child's page; in a leaf, lo and hi are the value's size.
// A value that is too large for a page lies in overflow pages in a row, after the
// 16 bytes of the first one's header; its node has their number in its place.
//
// # Bounds
//
// Every offset is checked against the page, every page against the file, and no more
// pages are visited than the file has, so that a damaged file gives an error, and
// not a loop.
package lmdb
