// Package coordinator owns a run: it admits workers, forms a generation whenever
// one joins, leaves or is lost, publishes checkpoints, and says how the run ends.
//
// What it decides is in package core, a pure state machine. This package is the
// shell around it: one goroutine (loop.go) takes events from the workers' sessions
// (server.go), from etcd (package registry), from the Store and from the clock,
// gives each to the machine, and does the effects that come back (effects.go), in
// order. What takes time is done beside the loop: leases (leases.go), checkpoints
// (publisher.go), and generations, which etcd has before a worker hears of them.
//
// Nobody needs the coordinator for a step. Where etcd does not answer, the loop goes
// on hearing workers and tries again; where the leadership is lost, it is taken up
// again, and workers that wait for it too long are let go meanwhile, to look for whoever
// leads (alone.go); where another coordinator has it, this one ends without dismissing
// anybody. One that comes after finds the newest generation in etcd, and its members,
// which have trained on, come back to it.
//
// Starting a run (start.go) goes from what costs nothing to what leaves traces:
// settings, port, Store, dataset, and only then the data dir, etcd and run.json,
// so that a start that fails leaves nothing behind.
package coordinator
