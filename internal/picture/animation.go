package picture

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image/png"
	"math"
)

// Of an animation, in milliseconds: a frame's time, the last one's, and how often
// it plays, 0 for ever.
const (
	frameTime = 80
	lastTime  = 2000
	plays     = 0
)

// Animation draws frames, each the images of one moment as Grid takes them, as an
// animated PNG (the PNG specification's third edition, section 11.3.6), which keeps
// every value of a pixel. Who can't play it sees the first frame.
func (l Layout) Animation(frames [][][]uint8, size, channels int) ([]byte, error) {
	if len(frames) == 0 {
		return nil, fmt.Errorf("draw an animation: it has no frames")
	}
	a := animation{}
	for k, images := range frames {
		canvas, err := l.canvas(images, size, channels)
		if err != nil {
			return nil, fmt.Errorf("frame %d: %w", k, err)
		}
		var b bytes.Buffer
		if err := png.Encode(&b, canvas); err != nil {
			return nil, fmt.Errorf("frame %d: %w", k, err)
		}
		delay := frameTime
		if k == len(frames)-1 {
			delay = lastTime
		}
		a.add(b.Bytes(), canvas.Bounds().Dx(), canvas.Bounds().Dy(), len(frames), delay)
	}
	a.chunk("IEND", nil)
	return a.out, nil
}

type animation struct {
	out      []byte
	frames   int
	sequence uint32
}

// add appends one frame, a whole PNG.
func (a *animation) add(file []byte, width, height, frames, delay int) {
	const signature = 8
	if a.frames == 0 {
		a.out = append(a.out, file[:signature]...)
	}
	for rest := file[signature:]; len(rest) > 0; {
		n := binary.BigEndian.Uint32(rest)
		kind, data := string(rest[4:8]), rest[8:8+n]
		rest = rest[12+n:]
		switch {
		case kind == "IHDR" && a.frames == 0:
			a.chunk(kind, data)
			a.chunk("acTL", words(uint32(frames), plays))
			a.control(width, height, delay)
		case kind == "IHDR":
			a.control(width, height, delay)
		case kind == "IDAT" && a.frames == 0:
			a.chunk(kind, data)
		case kind == "IDAT":
			a.chunk("fdAT", append(words(a.next()), data...))
		}
	}
	a.frames++
}

// control appends fcTL: the frame covers the whole canvas and replaces it.
func (a *animation) control(width, height, delay int) {
	data := words(a.next(), uint32(width), uint32(height), 0, 0)
	data = binary.BigEndian.AppendUint16(data, uint16(min(delay, math.MaxUint16)))
	data = binary.BigEndian.AppendUint16(data, 1000) // the delay's unit: 1/1000 s
	a.chunk("fcTL", append(data, 0, 0))
}

func (a *animation) next() uint32 {
	a.sequence++
	return a.sequence - 1
}

func (a *animation) chunk(kind string, data []byte) {
	a.out = binary.BigEndian.AppendUint32(a.out, uint32(len(data)))
	begin := len(a.out)
	a.out = append(append(a.out, kind...), data...)
	a.out = binary.BigEndian.AppendUint32(a.out, crc32.ChecksumIEEE(a.out[begin:]))
}

func words(ws ...uint32) []byte {
	var b []byte
	for _, w := range ws {
		b = binary.BigEndian.AppendUint32(b, w)
	}
	return b
}
