package tfevents

import (
	"encoding/hex"
	"testing"
	"time"
)

// The bytes of a file as TensorBoard's own reader took them; the first record is the
// one that every event file of TensorFlow begins with.
func TestBytes(t *testing.T) {
	at := time.Unix(1700000000, 500000000)
	for _, v := range []struct {
		name string
		got  []byte
		want string
	}{
		{"begin", AppendBegin(nil, at), wantBegin},
		{"start", AppendStart(nil, at, 8), wantStart},
		{"scalars", AppendScalars(nil, at, 300, []Scalar{{"loss", 0.5}, {"time/step", 2}}), wantScalars},
		{"image", AppendImage(nil, at, 1, "samples", []byte("PNG"), 4, 6, 3), wantImage},
	} {
		if got := hex.EncodeToString(v.got); got != v.want {
			t.Errorf("%s: %s, want %s", v.name, got, v.want)
		}
	}
}

// RFC 3720, B.4: the CRC-32C of 32 zeros is 0x8a9136aa.
func TestChecksum(t *testing.T) {
	crc, delta := uint32(0x8a9136aa), uint32(0xa282ead8)
	want := (crc>>15 | crc<<17) + delta
	if got := checksum(make([]byte, 32)); got != want {
		t.Errorf("%#x, want %#x", got, want)
	}
}

const (
	wantBegin   = "1a00000000000000129bd82d0900002040fc54d94110001a0d627261696e2e4576656e743a32bf8a691d"
	wantStart   = "0f000000000000006d532b090900002040fc54d94110083a020801b9c5b1b1"
	wantScalars = "2d000000000000003c418afb0900002040fc54d94110ac022a1f0a0b0a046c6f7373150000003f0a100a0974696d652f737465701500000040e1469d5e"
	wantImage   = "2500000000000000eabc36f30900002040fc54d94110012a180a160a0773616d706c6573220b0804100618032203504e477b08fad7"
)
