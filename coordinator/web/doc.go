// Package web is what a coordinator shows by HTTP: the dashboard, which is one page
// with its scripts, embedded and asking nobody else; the JSON that it lives on, by
// server-sent events; health; and the metrics. Nothing here changes a run.
//
// The static files are written by hand, but for static/vendor: uPlot (MIT licence,
// beside it), the iife build and the style of npm's package.
package web
