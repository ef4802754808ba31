// Package ingest imports a dataset from the form that it is in into the packed form.
//
// Images are loaded, decoded and resized by several goroutines, and written in the
// source's order, so that the result depends on the source and the settings alone. In
// memory are one object of the result and a few images for each goroutine, however
// large the source is.
//
// # Interruption
//
// Beside the objects lies import.json: the objects so far, where in the source they
// end, and what it looked like up to there (a SHA-256 over the names and sizes of its
// images). The same import, started again, goes over the source without decoding
// anything until it is there, and goes on; where the source has changed meanwhile,
// or the settings are others, it says so. dataset.json comes last and removes
// import.json. A source that turns out to be damaged, which a checksum says at its end,
// makes import.json say so, and nothing goes on from there.
//
// # Two imports to one name
//
// No import replaces an object that is there. Of two that bring different images, the
// one that comes second to an object ends there, and all of the other's stays as it
// is; two of the same images come to the same end. What a dead import left is taken
// by one of the same images, and for another one the user removes it: nothing here can
// know that an import is dead.
package ingest
