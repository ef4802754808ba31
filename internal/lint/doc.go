// Package lint is the house rules as tests: what a linter for Go at large cannot
// know about this project. Its tests read every file of the module; nothing
// imports it.
//
//   - doc: a package says in doc.go what it is; a command may say it in main.go.
//   - length: a file holds one concept, and 400 lines hold one.
//   - layers: imports point one way.
//   - imports: a package keeps away from what its part must not know: the model
//     from networks and clocks, the coordinator's core from everything that acts.
//   - arithmetic: where floats become weights, data or pictures, only those
//     functions of package math are used that give the same bits everywhere.
//   - order: there, nothing goes through a map in the map's order.
//   - pure: the coordinator's core reads no clock and starts no goroutine.
//   - state: a package variable never changes.
//   - panic: a panic is a broken invariant, and says whose.
//   - voice: only commands print and exit; everything else returns errors and logs
//     to the logger that it was given.
//   - text: no file names a place on somebody's machine or puts work off.
//
// Each rule is tested with a tree that breaks it. A rule's exceptions stand with
// it, each with its reason, and one that nothing needs any more is a failure too.
//
// Command fused beside it holds the rule that needs a compiler for arm64.
package lint
