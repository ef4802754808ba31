// Package logging makes the loggers of the commands: text where people watch, JSON
// where a log is kept.
package logging
