package browser

import (
	"testing"

	"github.com/chromedp/chromedp"
)

// What somebody does at the page: asks for pictures by clicking and sees them appear,
// cancels a job, and looks at what a step trains on.
func TestSteer(t *testing.T) {
	b := open(t)
	r := start(t, build(t), "--insecure", "--listen", "127.0.0.1:0", "--preset", "digits", "--run", "digits-demo", "--steps", "100000", "--checkpoint-every", "10")
	r.worker()
	r.worker()
	b.do(chromedp.EmulateViewport(1280, 900), chromedp.Navigate(r.url))
	r.await("a checkpoint", func(s status) bool { return s.Checkpoint != nil })

	// Without a worker of the pool a job waits, and can be cancelled.
	b.await(`document.getElementById("nojobs").hidden === false`)
	b.do(chromedp.Click("#job-submit"))
	b.await(`document.querySelectorAll("#jobs .job").length === 1 && document.querySelector("#jobs .chip").textContent === "queued"`)
	b.do(chromedp.Click("#jobs .job button"))
	b.await(`document.querySelector("#jobs .chip").textContent === "cancelled" && document.querySelector("#jobs .job button").hidden`)

	r.worker("--role", "sample")
	b.do(chromedp.SetValue("[name=steps]", "5"), chromedp.SetValue("[name=n]", "12"), chromedp.Click("#job-submit"))
	b.await(`document.querySelectorAll("#jobs .job").length === 2`)
	b.await(`document.querySelector("#jobs .chip").textContent === "done"`)
	b.do(chromedp.ScrollIntoView("#jobs"))
	b.await(`(() => { const all = [...document.querySelectorAll("#jobs .job:first-child img")]; return all.length === 12 && all.every((i) => i.complete && i.naturalWidth > 0); })()`)

	// The keyboard does as well: Enter in the step's field asks for its examples.
	b.do(chromedp.Focus("#examples-step"), chromedp.KeyEvent("3\r"))
	b.await(`(() => { const all = [...document.querySelectorAll("#examples img")]; return all.length === 32 && all.every((i) => i.complete && i.naturalWidth > 0); })()`)
	b.await(`document.getElementById("examplesnote").textContent.includes("follows 3 complete")`)

	// The ring has both, and says what went round it; the losses are told by timestep.
	b.await(`document.querySelectorAll("#ring .member").length === 2 && /[1-9].* sent so far/.test(document.getElementById("ringnote").textContent)`)
	b.await(`document.querySelector("#slices-chart canvas") !== null && /now [0-9]/.test(document.getElementById("slices-chart").ariaLabel)`)
	b.await(`/Backward [0-9]/.test(document.getElementById("stage-chart").ariaLabel) && /%/.test(document.getElementById("peak").textContent)`)
	// Whoever does not see the page hears a name of everything that can be used.
	b.await(`[...document.querySelectorAll("input, select, button, progress, [role=img], [role=region]")].every((e) => (e.ariaLabel || e.getAttribute("aria-labelledby") || e.textContent.trim() || e.labels?.length > 0))`)
	b.await(`[...document.querySelectorAll("img")].every((i) => i.alt !== "")`)

	b.sameByCommand(r)
	if *pictures != "" { // of a run that has come to something
		b.await(`[...document.querySelectorAll("#checkpoints b")].some((e) => Number(e.textContent.replace(/[^0-9]/g, "")) >= 600)`)
		b.do(chromedp.SetValue("[name=steps]", "50"), chromedp.Click("#job-submit"))
		b.await(`document.querySelector("#jobs .chip").textContent === "done" && document.querySelectorAll("#jobs .job").length === 3`)
	}
	b.picture("dashboard.png", 1280, 900, "light")
	b.picture("dashboard-dark.png", 1280, 900, "dark")
	b.picture("dashboard-phone.png", 390, 844, "light")
	b.do(chromedp.EmulateViewport(390, 844))
	b.await(`document.documentElement.scrollWidth <= window.innerWidth`)
	b.clean()
}
