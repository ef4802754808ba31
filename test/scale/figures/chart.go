package main

import (
	"fmt"
	"math"
	"strings"
)

// chart shows scaling, from 0 to 1, by the number of workers, on a logarithmic axis.
type chart struct {
	title string
	lines []line
}

type line struct {
	name   string
	color  int
	dashed bool
	values []float64
}

func (c *chart) add(name string, color int, dashed bool, values []float64) {
	c.lines = append(c.lines, line{name, color, dashed, values})
}

const (
	width, height              = 760, 420
	left, right, top, bottom   = 60, 110, 50, 50
	plotWidth, plotHeight      = width - left - right, height - top - bottom
	labelGap, leastLabelHeight = 8, 16
)

var colors = []string{"#d1495b", "#c07f00", "#00798c", "#5b5f97"}

// at is where a value stands.
func at(i int, value float64) (x, y float64) {
	span := math.Log2(float64(worlds[len(worlds)-1]) / float64(worlds[0]))
	return left + plotWidth*math.Log2(float64(worlds[i])/float64(worlds[0]))/span, top + plotHeight*(1-value)
}

func (c *chart) svg() string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	say(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13">`, width, height)
	say(`<rect width="%d" height="%d" fill="white"/>`, width, height)
	say(`<text x="%d" y="24" font-size="15">%s</text>`, left, c.title)
	for percent := 0; percent <= 100; percent += 20 {
		_, y := at(0, float64(percent)/100)
		say(`<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ddd"/>`, left, left+plotWidth, y, y)
		say(`<text x="%d" y="%.1f" text-anchor="end">%d%%</text>`, left-labelGap, y+4, percent)
	}
	for i, w := range worlds {
		x, y := at(i, 0)
		say(`<text x="%.1f" y="%.1f" text-anchor="middle">%d</text>`, x, y+20, w)
	}
	say(`<text x="%d" y="%d" text-anchor="middle">workers; dashed: without overlap</text>`, left+plotWidth/2, height-8)
	last := math.Inf(1)
	for i := len(c.lines) - 1; i >= 0; i-- { // the highest label is the last line's
		l := c.lines[i]
		var points []string
		for k, v := range l.values {
			x, y := at(k, v)
			points = append(points, fmt.Sprintf("%.1f,%.1f", x, y))
		}
		dash := ""
		if l.dashed {
			dash = ` stroke-dasharray="5 4"`
		}
		say(`<polyline points="%s" fill="none" stroke="%s" stroke-width="2"%s/>`, strings.Join(points, " "), colors[l.color], dash)
	}
	for _, l := range c.lines { // from the slowest, which is the lowest
		if l.name == "" {
			continue
		}
		x, y := at(len(l.values)-1, l.values[len(l.values)-1])
		y = min(y, last-leastLabelHeight)
		last = y
		say(`<text x="%.1f" y="%.1f" fill="%s">%s</text>`, x+labelGap, y+4, colors[l.color], l.name)
	}
	say(`</svg>`)
	return b.String()
}
