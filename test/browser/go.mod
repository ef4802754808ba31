// The test of the dashboard in a browser is a module of its own: what drives the
// browser is no dependency of the product.
module github.com/ddpm-cluster/ddpm-cluster/test/browser

go 1.26.0

require (
	github.com/chromedp/cdproto v0.159.0
	github.com/chromedp/chromedp v0.23.0
	github.com/ddpm-cluster/ddpm-cluster v0.0.0
)

require github.com/go-json-experiment/json v0.0.0-20260213210345-44df1a37e875 // indirect

replace github.com/ddpm-cluster/ddpm-cluster => ../..
