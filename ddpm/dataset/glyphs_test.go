package dataset

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
	"testing"
)

func openTest(t testing.TB, uri string, want Want) Dataset {
	t.Helper()
	d, err := Open(context.Background(), uri, want)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// The images may never change silently: if this fails, either the change is
// wrong, or glyphsVersion is raised and the digests below are taken anew.
func TestGlyphsGolden(t *testing.T) {
	for _, v := range []struct {
		size, channels int
		images, digest string
	}{
		{
			16, 1,
			"89b8b4dd160689e15347ce527050ae3bce9210d81e610f42f8f6839f0a74c6f6",
			"sha256:95193520ee9a744ba9cf41a932a33d5a46e227a0ff0eb2f81f5c0d6499393d97",
		},
		{
			32, 3,
			"9308ec1141619df444f152bb926de2f78c886a8c16addc275f753b0aeed152f2",
			"sha256:63923d5f29ef2c60fc296d80aae84a4fcd7bb1f8d2d838e73198960a06342b72",
		},
	} {
		d := openTest(t, "glyphs://", Want{Size: v.size, Channels: v.channels})
		h := sha256.New()
		for i := range 64 {
			h.Write(example(t, d, i))
		}
		if got := fmt.Sprintf("%x", h.Sum(nil)); got != v.images {
			t.Errorf("version %d, %v: the first 64 examples have digest %s, want %s", glyphsVersion, d.Shape(), got, v.images)
		}
		if d.Digest() != v.digest {
			t.Errorf("version %d, %v: the dataset's digest is %s, want %s", glyphsVersion, d.Shape(), d.Digest(), v.digest)
		}
	}
}

func TestGlyphsURI(t *testing.T) {
	want := Want{Size: 16, Channels: 1, FallbackN: 500}
	for _, v := range []struct{ uri, canonical string }{
		{"glyphs://", "glyphs://?size=16&channels=1&n=500&seed=1"},
		{"glyphs://?", "glyphs://?size=16&channels=1&n=500&seed=1"},
		{"glyphs://?seed=18446744073709551615&n=1", "glyphs://?size=16&channels=1&n=1&seed=18446744073709551615"},
		{"glyphs://?n=2147483647&channels=1&size=16", "glyphs://?size=16&channels=1&n=2147483647&seed=1"},
	} {
		d := openTest(t, v.uri, want)
		if d.URI() != v.canonical {
			t.Errorf("%s is %s, want %s", v.uri, d.URI(), v.canonical)
		}
		if again := openTest(t, d.URI(), want); again.URI() != d.URI() || again.Digest() != d.Digest() {
			t.Errorf("%s opened again is %s", d.URI(), again.URI())
		}
	}
	if n := openTest(t, "glyphs://", Want{Size: 16, Channels: 1}).Len(); n != DefaultGlyphs {
		t.Errorf("%d examples by default, want %d", n, DefaultGlyphs)
	}
}

func TestGlyphsURIErrors(t *testing.T) {
	for _, v := range []struct {
		uri  string
		want []string
	}{
		{"glyphs://?sise=16", []string{`"sise"`, `"size"`, "size, channels, n, seed"}},
		{"glyphs://?chanels=1", []string{`did you mean "channels"`}},
		{"glyphs://?count=5", []string{`"count"`}},
		{"glyphs://?size=7", []string{"size=7", "8 to 256"}},
		{"glyphs://?size=257", []string{"size=257", "8 to 256"}},
		{"glyphs://?size=18446744073709551615", []string{"size=18446744073709551615"}},
		{"glyphs://?size=-16", []string{"size=-16", "whole number"}},
		{"glyphs://?size=16px", []string{"size=16px", "whole number"}},
		{"glyphs://?size=", []string{"size= ", "whole number"}},
		{"glyphs://?channels=2", []string{"channels=2", "1 (white on black) or 3"}},
		{"glyphs://?n=0", []string{"n=0", fmt.Sprintf("1 to %d", maxGlyphs)}},
		{"glyphs://?n=2147483649", []string{"n=2147483649"}},
		{"glyphs://?seed=18446744073709551616", []string{"seed=18446744073709551616"}},
		{"glyphs://?seed=1&seed=2", []string{"seed", "2 times"}},
		{"glyphs://size=16", []string{`"size=16"`, "glyphs://?size=32&channels=3&n=60000&seed=1"}},
		{"glyphs://?size=%zz", []string{"%zz", "glyphs://?size=32"}},
	} {
		_, err := Open(context.Background(), v.uri, Want{Size: 16, Channels: 1})
		checkLine(t, err, append(v.want, "dataset "+v.uri+":")...)
	}
	_, err := Open(context.Background(), "glyphs://", Want{Size: 512, Channels: 3})
	checkLine(t, err, "size=512", "8 to 256")
}

// Example i is a function of (seed, size, channels, i): not of n, of what was
// drawn before, or of who draws beside.
func TestGlyphsAreCounted(t *testing.T) {
	const n = 200
	want := Want{Size: 16, Channels: 3}
	one, two := openTest(t, "glyphs://", want), openTest(t, "glyphs://?n=200", want)
	alone := make([][]uint8, n)
	for i := range alone {
		alone[i] = example(t, one, i)
	}
	var group sync.WaitGroup
	for w := range 4 {
		group.Go(func() {
			b := make([]uint8, one.Shape().Bytes())
			for k := range n {
				i := (n - 1 - k + w*37) % n
				if err := two.Example(i, b); err != nil || !bytes.Equal(b, alone[i]) {
					t.Errorf("example %d differs when drawn beside others (error %v)", i, err)
					return
				}
			}
		})
	}
	group.Wait()

	other := openTest(t, "glyphs://?seed=2", want)
	same := 0
	for i := range alone {
		if bytes.Equal(example(t, other, i), alone[i]) {
			same++
		}
	}
	if same > 0 {
		t.Errorf("%d of %d examples are the same under another seed", same, n)
	}
}

func TestGlyphClassesAreEven(t *testing.T) {
	d := openTest(t, "glyphs://", Want{Size: 8, Channels: 1}).(Labeled)
	var counts [classes]int
	for i := range d.Len() {
		counts[d.Label(i)]++
	}
	for class, n := range counts {
		if n < 5700 || n > 6300 { // four standard deviations about 6000
			t.Errorf("class %d is drawn %d times of %d", class, n, d.Len())
		}
	}
}

// Every digit fills most of the frame, stands near its middle, and is as bright as
// white where a stroke is.
func TestGlyphsFillTheFrame(t *testing.T) {
	for _, size := range []int{8, 16, 28, 33, 64} {
		d := openTest(t, "glyphs://", Want{Size: size, Channels: 1})
		for i := range 500 {
			b, ink, peak := inkBox(example(t, d, i), size)
			height, middleX, middleY := b.max.y-b.min.y, (b.min.x+b.max.x)/2, (b.min.y+b.max.y)/2
			slack := int64(2) // a box of whole pixels is up to two larger
			if s := int64(size); height*100 < s*60-100*slack || height*100 > s*80+100*slack {
				t.Errorf("size %d, example %d is %d high", size, i, height)
			}
			if s := int64(size); abs(2*middleX-s) > s/5+slack || abs(2*middleY-s) > s/5+slack {
				t.Errorf("size %d, example %d is about (%d, %d)", size, i, middleX, middleY)
			}
			if share := float64(ink) / float64(255*size*size); share < 0.05 || share > 0.40 {
				t.Errorf("size %d, example %d has %.2f of the frame inked", size, i, share)
			}
			if size >= 16 && peak < 200 {
				t.Errorf("size %d, example %d is at most %d bright", size, i, peak)
			}
		}
	}
}

func abs(v int64) int64 { return max(v, -v) }

// inkBox returns the pixels' box that is not black, the sum, and the brightest.
func inkBox(pixels []uint8, size int) (b box, sum int, peak uint8) {
	var points []point
	for k, v := range pixels {
		if v > 0 {
			x, y := int64(k%size), int64(k/size)
			points = append(points, point{x, y}, point{x + 1, y + 1})
		}
		sum += int(v)
		peak = max(peak, v)
	}
	return boxOf(points), sum, peak
}

// Coloured digits stand out: the ink is far brighter than the paper, whatever the
// draws.
func TestGlyphContrast(t *testing.T) {
	for i := range 5000 {
		d := drawExample(3, i)
		ink, paper := d.ink(), d.paper()
		for _, c := range []rgb{ink, paper} {
			if slices.Min(c[:]) < 0 || slices.Max(c[:]) > 255 {
				t.Fatalf("example %d: colour %v", i, c)
			}
		}
		if ink.luma()-paper.luma() < 85 {
			t.Errorf("example %d: ink %v on paper %v", i, ink, paper)
		}
	}
}

// The grey image is the coloured one's mask: they show the same digit.
func TestGlyphColoursKeepTheDigit(t *testing.T) {
	grey := openTest(t, "glyphs://", Want{Size: 20, Channels: 1})
	colour := openTest(t, "glyphs://", Want{Size: 20, Channels: 3})
	for i := range 50 {
		d := drawExample(1, i)
		ink, paper := d.ink(), d.paper()
		pixels := example(t, colour, i)
		for k, cover := range example(t, grey, i) {
			for c := range 3 {
				want := (float64(paper[c])*float64(255-int(cover)) + float64(ink[c])*float64(cover)) / 255
				if got := float64(pixels[3*k+c]); got < want-0.51 || got > want+0.51 {
					t.Fatalf("example %d, pixel %d: %v, want %.2f", i, k, pixels[3*k:3*k+3], want)
				}
			}
		}
	}
}

func BenchmarkGlyphs(b *testing.B) {
	for _, want := range []Want{{Size: 16, Channels: 1}, {Size: 32, Channels: 3}} {
		d := openTest(b, "glyphs://", want)
		b.Run(d.Shape().String(), func(b *testing.B) {
			pixels := make([]uint8, d.Shape().Bytes())
			for i := 0; b.Loop(); i++ {
				if err := d.Example(i%d.Len(), pixels); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
