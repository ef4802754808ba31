// Package registry keeps a run's membership and leadership in etcd.
//
//	/ddpm/runs/<run>/id              names the run among all that had its name
//	/ddpm/runs/<run>/leader/…        the election; the leader's term is the
//	                                 revision at which its key was made
//	/ddpm/runs/<run>/led             names the leader that was the last to lead
//	/ddpm/runs/<run>/generation      the newest generation, JSON
//	/ddpm/runs/<run>/generation-number
//	                                 its number, which never descends
//	/ddpm/runs/<run>/workers/<id>    an admitted worker, under a lease that its
//	                                 signs of life keep
//
// The sampling pool has a leader of its own, whatever the run; its keys are in
// package pool:
//
//	/ddpm/pool/leader/…
//	/ddpm/pool/led
//
// A generation is stored over an older one alone, whenever etcd takes the request, and a
// leader that has lost its place takes it again only where nobody has led since.
//
// Every write is a transaction that holds only while the writer's leader key is
// there, so that a leader that was replaced can change nothing.
package registry
