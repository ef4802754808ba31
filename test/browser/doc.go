// Package browser tests the dashboard in a headless Chromium, over real processes: a
// run of two workers, one of which is killed. `go test .` in this folder; it skips
// where there is no browser. With -pictures DIR it leaves screenshots there.
package browser
