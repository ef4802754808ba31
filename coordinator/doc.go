// Package coordinator owns a run: it admits workers, forms generations, publishes
// checkpoints, and says how the run ends.
//
// What it decides is in package core, a pure state machine. This package is the
// shell around it: one goroutine (loop.go) takes events from the workers' sessions
// (server.go), from etcd (package registry), from the Store and from the clock,
// gives each to the machine, and does the effects that come back (effects.go), in
// order.
//
// Starting a run (start.go) goes from what costs nothing to what leaves traces:
// settings, port, Store, dataset, and only then the data dir, etcd and run.json,
// so that a start that fails leaves nothing behind.
package coordinator
