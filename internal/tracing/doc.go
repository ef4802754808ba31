// Package tracing draws OpenTelemetry spans of what a process has done, where the
// standard environment variables name a collector; where they don't it does nothing.
//
// Spans are drawn when they are over, from times that were taken anyway. So whatever
// decides bits knows nothing of them, and nobody waits for a collector: what finds no
// room in the queue is dropped. Which trace a span is in follows from what it is about,
// so that the spans that several processes draw of one step are in one trace, though
// they never speak of it.
package tracing
