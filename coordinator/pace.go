package coordinator

import (
	"runtime"
	"time"
)

// tick is how often the machine hears that time passes, restingTick how often at rest.
const (
	tick        = 100 * time.Millisecond
	restingTick = 500 * time.Millisecond
)

// pace is how fast a coordinator lives. At rest it wakes seldom, and on one processor: what
// wakes one goroutine makes Go wake a second thread in search of others, which finds none,
// and costs as much as the first. Whatever happens is heard as soon as ever, and the first
// tick after it ends the rest.
type pace struct {
	ticker  *time.Ticker
	resting bool
}

func newPace() *pace { return &pace{ticker: time.NewTicker(tick)} }

func (p *pace) ticks() <-chan time.Time { return p.ticker.C }

func (p *pace) set(resting bool) {
	if resting == p.resting {
		return
	}
	p.resting = resting
	if resting {
		p.ticker.Reset(restingTick)
		runtime.GOMAXPROCS(1)
	} else {
		p.ticker.Reset(tick)
		runtime.SetDefaultGOMAXPROCS()
	}
}

func (p *pace) stop() {
	p.set(false)
	p.ticker.Stop()
}
