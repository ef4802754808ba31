package kube

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

var pictures = flag.String("pictures", "", "leave screenshots in this folder")

// browse opens a headless browser; nil where there is none.
func (c *cluster) browse() context.Context {
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		c.t.Log("there is no Chromium in PATH: nobody looks at the pages")
		return nil
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		// A page that also asks for things of the Internet doesn't wait for them.
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"), chromedp.Flag("no-proxy-server", true),
		chromedp.WSURLReadTimeout(time.Minute), chromedp.WindowSize(1280, 900))
	ctx, cancel := chromedp.NewExecAllocator(c.t.Context(), options...)
	c.t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	c.t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, limit)
	c.t.Cleanup(cancel)
	return ctx
}

func (c *cluster) do(ctx context.Context, actions ...chromedp.Action) {
	c.t.Helper()
	if err := chromedp.Run(ctx, actions...); err != nil {
		var text string
		_ = chromedp.Run(ctx, chromedp.Evaluate("document.body.innerText", &text)) // for people
		c.t.Fatalf("%v; the page says\n%s", err, text)
	}
}

// until waits for an expression of the page.
func until(expression string) chromedp.Action {
	return chromedp.Poll(expression, nil, chromedp.WithPollingTimeout(5*time.Minute))
}

func (c *cluster) shot(ctx context.Context, name string) {
	c.t.Helper()
	var png []byte
	c.do(ctx, chromedp.Sleep(2*time.Second), chromedp.CaptureScreenshot(&png)) // charts settle
	if *pictures == "" {
		return
	}
	if err := os.MkdirAll(*pictures, 0o777); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*pictures, name), png, 0o666); err != nil {
		c.t.Fatal(err)
	}
}

// seesDashboard opens the dashboard through port-forward, as NOTES.txt says.
func (c *cluster) seesDashboard() {
	ctx := c.browse()
	if ctx == nil {
		return
	}
	address, stop := c.forward("pod/"+name+"-coordinator-0", "7680")
	defer stop()
	c.do(ctx, chromedp.Navigate("http://"+address+"/"),
		until(`document.querySelectorAll("#workers tbody tr").length === 3`),
		until(`document.querySelector("#loss-chart canvas") !== null`),
		// Pictures are fetched when they come into sight.
		until(`document.querySelectorAll("#checkpoints img").length >= 1`),
		chromedp.ScrollIntoView("#checkpoints", chromedp.ByQuery),
		until(`document.querySelectorAll("#checkpoints img").length >= 1 && [...document.querySelectorAll("#checkpoints img")].every((i) => i.complete && i.naturalWidth > 0)`),
		chromedp.Evaluate(`scrollTo(0, 0)`, nil))
	c.shot(ctx, "kubernetes-dashboard.png")
}

// previewButton is the console's, where an object's details are open and may be read.
const previewButton = `[...document.querySelectorAll("button")].find((b) => b.innerText.trim() === "Preview" && !b.disabled)`

// seesConsole opens the picture of a step's checkpoint in MinIO's console through
// port-forward.
func (c *cluster) seesConsole(step int) {
	ctx := c.browse()
	if ctx == nil {
		return
	}
	address, stop := c.forward("service/"+name+"-minio", "9001")
	defer stop()
	user, secret := c.storeSecret()
	c.do(ctx, chromedp.Navigate("http://"+address+"/login"),
		chromedp.WaitVisible(`#accessKey`, chromedp.ByQuery),
		chromedp.SendKeys(`#accessKey`, user, chromedp.ByQuery),
		chromedp.SendKeys(`#secretKey`, secret+"\r", chromedp.ByQuery),
		until(`!location.pathname.includes("login")`),
		chromedp.WaitVisible(`#acknowledge-confirm`, chromedp.ByQuery), // of its licence
		chromedp.Click(`#acknowledge-confirm`, chromedp.ByQuery),
		chromedp.Navigate(fmt.Sprintf("http://%s/browser/ddpm/runs%%2F%s%%2Fcheckpoints%%2Fstep-%08d%%2F", address, preset, step)),
		until(`document.body.innerText.includes("samples.png")`),
		chromedp.Click(`//*[text()="samples.png"]`, chromedp.BySearch),
		until(previewButton+` !== undefined`),
		chromedp.Evaluate(previewButton+`.click()`, nil),
		until(`(() => { const i = document.querySelector("img[alt=preview]"); return i !== null && i.complete && i.naturalWidth > 0 })()`))
	c.shot(ctx, "minio-checkpoint.png")
}

// object reads one of the bucket.
func (c *cluster) object(key string) string {
	c.t.Helper()
	address, stop := c.forward("service/"+name+"-minio", "9000")
	defer stop()
	user, secret := c.storeSecret()
	client, err := minio.New(address, &minio.Options{Creds: credentials.NewStaticV4(user, secret, "")})
	if err != nil {
		c.t.Fatal(err)
	}
	o, err := client.GetObject(c.t.Context(), "ddpm", key, minio.GetObjectOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	text, err := io.ReadAll(o)
	if err != nil {
		c.t.Fatalf("%s: %v", key, err)
	}
	return string(text)
}
