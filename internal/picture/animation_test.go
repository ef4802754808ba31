package picture

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image/png"
	"slices"
	"testing"
)

func TestAnimation(t *testing.T) {
	frames := [][][]uint8{{{0, 50, 100, 150}}, {{1, 2, 3, 4}}, {{9, 9, 9, 9}}}
	b, err := Layout{Columns: 1, Zoom: 1}.Animation(frames, 2, 1)
	if err != nil {
		t.Fatal(err)
	}
	// A reader that knows no animations sees the first frame.
	im, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if r, _, _, _ := im.At(1, 1).RGBA(); r>>8 != 150 {
		t.Errorf("the first frame's last pixel is %d", r>>8)
	}
	var kinds []string
	sequence := uint32(0)
	for rest := b[8:]; len(rest) > 0; {
		n := binary.BigEndian.Uint32(rest)
		kind, data := string(rest[4:8]), rest[8:8+n]
		if crc32.ChecksumIEEE(rest[4:8+n]) != binary.BigEndian.Uint32(rest[8+n:]) {
			t.Errorf("chunk %s has a wrong checksum", kind)
		}
		if kind == "fcTL" || kind == "fdAT" {
			if got := binary.BigEndian.Uint32(data); got != sequence {
				t.Errorf("chunk %s has number %d, want %d", kind, got, sequence)
			}
			sequence++
		}
		kinds = append(kinds, kind)
		rest = rest[12+n:]
	}
	want := []string{"IHDR", "acTL", "fcTL", "IDAT", "fcTL", "fdAT", "fcTL", "fdAT", "IEND"}
	if !slices.Equal(kinds, want) {
		t.Errorf("chunks are %v, want %v", kinds, want)
	}
	if _, err := (Layout{}).Animation(nil, 2, 1); err == nil {
		t.Error("an animation of no frames is drawn")
	}
}
