package allreduce

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

var testHeader = Header{
	Run:        RunTag{1, 2, 3, 4, 5, 6, 7, 8},
	Generation: 0x1122334455667788,
	Step:       9,
	Phase:      AllGather,
	Hop:        3,
	Segment:    0x0a0b,
	Offset:     0x010203040506,
	Count:      0x8000,
	Elems:      35746307,
	TailLanes:  5,
	Checksum:   0xdeadbeef,
	Bucket:     7,
}

// The layout is the protocol: it must not change unnoticed.
func TestHeaderBytes(t *testing.T) {
	var b [headerBytes]byte
	testHeader.put(b[:])
	const want = "44525303" + "0102030405060708" + "8877665544332211" + "0900000000000000" + "0200" + "0300" + "0b0a0000" +
		"0605040302010000" + "00800000" + "0372210200000000" + "05000000" + "efbeadde" + "07000000"
	if got := hex.EncodeToString(b[:]); got != want {
		t.Errorf("header is\n%s, want\n%s", got, want)
	}
	if got, err := parseHeader(b[:]); err != nil || got != testHeader {
		t.Errorf("comes back as %+v (%v)", got, err)
	}
}

func TestHandshakeBytes(t *testing.T) {
	m := Member{Run: RunTag{1, 2, 3, 4, 5, 6, 7, 8}, Generation: 258, Rank: 3, World: 4}
	b := appendHandshake(nil, m)
	const want = "44524802" + "0102030405060708" + "0201000000000000" + "03000000" + "04000000"
	if got := hex.EncodeToString(b); got != want {
		t.Errorf("handshake is\n%s, want\n%s", got, want)
	}
	if got, err := parseHandshake(b); err != nil || got != m {
		t.Errorf("comes back as %v (%v)", got, err)
	}
}

func TestMalformedHeadersAndHandshakes(t *testing.T) {
	header := make([]byte, headerBytes)
	testHeader.put(header)
	handshake := appendHandshake(nil, Member{Rank: 1, World: 2})
	change := func(b []byte, at int, v byte) []byte {
		b = bytes.Clone(b)
		b[at] = v
		return b
	}
	parsers := map[string]func([]byte) error{
		"header":    func(b []byte) error { _, err := parseHeader(b); return err },
		"handshake": func(b []byte) error { _, err := parseHandshake(b); return err },
	}
	tests := []struct {
		name, parser string
		src          []byte
	}{
		{"nothing", "header", nil},
		{"one byte short", "header", header[:headerBytes-1]},
		{"other magic", "header", change(header, 0, 'X')},
		{"other version", "header", change(header, 3, 1)},
		{"phase 0", "header", change(header, 28, 0)},
		{"phase 5", "header", change(header, 28, 5)},
		{"nothing", "handshake", nil},
		{"one byte short", "handshake", handshake[:handshakeBytes-1]},
		{"one byte more", "handshake", append(bytes.Clone(handshake), 0)},
		{"a header's magic", "handshake", change(handshake, 2, 'S')},
		{"other version", "handshake", change(handshake, 3, 9)},
		{"rank outside", "handshake", change(handshake, 20, 2)},
		{"ring of none", "handshake", change(handshake, 24, 0)},
		{"ring too large", "handshake", change(handshake, 27, 1)},
	}
	for _, tt := range tests {
		if err := parsers[tt.parser](tt.src); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s, %s: %v", tt.parser, tt.name, err)
		}
	}
}

func TestFenceNamesBothSides(t *testing.T) {
	h := testHeader
	if err := h.fence(h.Run, h.Generation, h.Step); err != nil {
		t.Error(err)
	}
	tests := []struct {
		err  error
		want []string
	}{
		{h.fence(RunTag{8}, h.Generation, h.Step), []string{"0102030405060708", "0800000000000000"}},
		{h.fence(h.Run, 12, h.Step), []string{"1234605616436508552", "12"}},
		{h.fence(h.Run, h.Generation, 10), []string{"step 9", "step 10"}},
	}
	for _, tt := range tests {
		if !errors.Is(tt.err, ErrFenced) {
			t.Errorf("%v is no ErrFenced", tt.err)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(tt.err.Error(), want) {
				t.Errorf("%q does not name %s", tt.err, want)
			}
		}
	}
}

func TestRunTag(t *testing.T) {
	// printf 'digits\0001' | sha256sum
	if got := NewRunTag("digits", "1").String(); got != "fbf87d3a13ca98d7" {
		t.Errorf("tag %s", got)
	}
	if NewRunTag("a", "bc") == NewRunTag("ab", "c") {
		t.Error("name and id run into each other")
	}
}

func TestMemberValidate(t *testing.T) {
	for _, m := range []Member{{World: 0}, {World: -1}, {Rank: -1, World: 2}, {Rank: 2, World: 2}, {World: maxWorld + 1}} {
		if m.Validate() == nil {
			t.Errorf("%v is taken", m)
		}
	}
	m := Member{Rank: 0, World: 3}
	if err := m.Validate(); err != nil || m.Predecessor().Rank != 2 || m.Successor().Rank != 1 || m.Predecessor().Successor() != m {
		t.Errorf("%v stands between %v and %v (%v)", m, m.Predecessor(), m.Successor(), err)
	}
}

func FuzzParseHeader(f *testing.F) {
	var b [headerBytes]byte
	testHeader.put(b[:])
	f.Add(b[:])
	f.Add([]byte("DRS\x03"))
	f.Fuzz(func(t *testing.T, src []byte) {
		h, err := parseHeader(src)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		var again [headerBytes]byte
		h.put(again[:])
		if !bytes.Equal(again[:], src[:headerBytes]) {
			t.Fatalf("%x comes back as %x", src[:headerBytes], again)
		}
	})
}

func FuzzParseHandshake(f *testing.F) {
	f.Add(appendHandshake(nil, Member{Rank: 1, World: 2}))
	f.Add([]byte("DRH\x02"))
	f.Fuzz(func(t *testing.T, src []byte) {
		m, err := parseHandshake(src)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		if again := appendHandshake(nil, m); m.Validate() != nil || !bytes.Equal(again, src) {
			t.Fatalf("%x comes back as %x", src, again)
		}
	})
}
