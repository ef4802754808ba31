package picture

import (
	"bytes"
	"testing"
)

func TestPixelsReadsBackWhatWasDrawn(t *testing.T) {
	for _, channels := range []int{1, 3} {
		const size = 5
		want := make([]uint8, size*size*channels)
		for i := range want {
			want[i] = uint8(i * 37)
		}
		text, err := Layout{Columns: 1, Zoom: 1}.PNG([][]uint8{want}, size, channels)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Pixels(text, size, channels)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d channels: %v, %v, want %v", channels, got, err, want)
		}
		for name, bad := range map[string]func() ([]uint8, error){
			"another size":     func() ([]uint8, error) { return Pixels(text, size+1, channels) },
			"another colour":   func() ([]uint8, error) { return Pixels(text, size, 4-channels) },
			"a picture cut":    func() ([]uint8, error) { return Pixels(text[:len(text)/2], size, channels) },
			"what is no image": func() ([]uint8, error) { return Pixels([]byte("GIF89a"), size, channels) },
		} {
			if got, err := bad(); err == nil {
				t.Errorf("%d channels: %s gives %v", channels, name, got)
			}
		}
	}
}
