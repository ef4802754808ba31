// Package crowd is a great many workers that compute nothing: they join a coordinator
// as workers do, by token and certificate, speak the session's protocol, and stand in
// for the steps between by the clock. What a coordinator takes for a thousand workers
// is measured with it on one machine.
//
// Every 20 workers come from a loopback address of their own, as from a
// machine of their own: a coordinator bounds how often one machine asks to join.
package crowd
