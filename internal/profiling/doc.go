// Package profiling serves a process's profiles, those of net/http/pprof, on a port of
// their own. Who may ask is for the listener to decide.
package profiling
