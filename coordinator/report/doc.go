// Package report is what people may know of a run: one document, which the HTTP port,
// ddpmctl and the dashboard show, and the run's curves in bounded memory. It decides
// nothing and knows no network; docs/http-api.md describes the JSON.
package report
