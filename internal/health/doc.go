// Package health says whether a process does what it is for, to whoever starts it again
// if not: a loop beats as it turns, and an answer over HTTP says when it last did. A loop
// that waits, as that of a paused run does, beats too; one that is stuck does not.
package health
