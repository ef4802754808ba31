package lmdb

import (
	"encoding/binary"
	"slices"
	"testing"
)

// smallPage is the smallest page there is: mutations of a few of them hit what is parsed
// more often than those of the library's own file of 132 KiB.
const smallPage = 512

// entry is a key with its value; in a branch, the value is the child's number alone.
type entry struct {
	key, value string
	child      uint64
	flags      uint16
	size       int // of the value, where that is elsewhere
}

// page writes a page of the tree with its nodes from the end on, as the library does.
func page(number uint64, flags uint16, entries []entry) []byte {
	p := binary.LittleEndian.AppendUint64(nil, number)
	p = append(p, make([]byte, smallPage-len(p))...)
	upper := smallPage
	for k, e := range entries {
		n := make([]byte, 8, 8+len(e.key)+len(e.value))
		lo, third := uint32(e.size), e.flags
		if flags == flagBranch {
			lo, third = uint32(e.child), uint16(e.child>>32)
		}
		binary.LittleEndian.PutUint32(n, lo)
		binary.LittleEndian.PutUint16(n[4:], third)
		binary.LittleEndian.PutUint16(n[6:], uint16(len(e.key)))
		n = append(append(n, e.key...), e.value...)
		upper -= len(n) + len(n)%2
		copy(p[upper:], n)
		binary.LittleEndian.PutUint16(p[headerSize+2*k:], uint16(upper))
	}
	binary.LittleEndian.PutUint16(p[10:], flags)
	binary.LittleEndian.PutUint16(p[12:], uint16(headerSize+2*len(entries)))
	binary.LittleEndian.PutUint16(p[14:], uint16(upper))
	return p
}

// metaPage writes one of the two first pages.
func metaPage(number, txn, root, entries uint64) []byte {
	p := page(number, flagMeta, nil)
	put32, put64 := binary.LittleEndian.PutUint32, binary.LittleEndian.PutUint64
	put32(p[16:], magic)
	put32(p[20:], version)
	put32(p[16+24:], smallPage)
	put64(p[16+72+32:], entries)
	put64(p[16+72+40:], root)
	put64(p[16+128:], txn)
	return p
}

// small is a database of a branch, two leaves, and a value in two overflow pages.
func small() []byte {
	overflow := page(5, flagOverflow, nil)
	binary.LittleEndian.PutUint32(overflow[12:], 2)
	return slices.Concat(
		metaPage(0, 6, noPage, 0), metaPage(1, 7, 2, 4),
		page(2, flagBranch, []entry{{child: 3}, {key: "c", child: 4}}),
		page(3, flagLeaf, []entry{{key: "a", value: "one", size: 3}, {key: "b", size: 0}}),
		page(4, flagLeaf, []entry{{key: "c", value: "\x05\x00\x00\x00\x00\x00\x00\x00", flags: nodeBig, size: 700}, {key: "d", value: "four", size: 4}}),
		overflow, make([]byte, smallPage),
	)
}

// What the fuzz test begins with is a database.
func TestReadsSmallPages(t *testing.T) {
	file := small()
	db, err := openBytes(file)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	err = db.Each(func(key []byte, v Value) error {
		value, err := db.Read(v)
		if v.Size == 700 {
			value = value[:0]
		}
		got = append(got, string(key)+"="+string(value))
		return err
	})
	if want := []string{"a=one", "b=", "c=", "d=four"}; err != nil || !slices.Equal(got, want) || db.Entries() != 4 {
		t.Errorf("%d entries: %q, %v; want %q", db.Entries(), got, err, want)
	}
}

func FuzzLMDB(f *testing.F) {
	whole := small()
	f.Add(whole)
	f.Add(whole[:4*smallPage])
	f.Add(append(metaPage(0, 6, 2, 2), whole[smallPage:]...))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, file []byte) {
		db, err := openBytes(file)
		if err != nil {
			return
		}
		n := 0
		_ = db.Each(func(key []byte, v Value) error {
			if n++; n > len(file) {
				t.Fatal("more keys than bytes")
			}
			if v.Offset < 0 || v.Size < 0 || v.Offset+v.Size > int64(len(file)) {
				t.Fatalf("key %q has %d bytes at %d of %d", key, v.Size, v.Offset, len(file))
			}
			return nil
		})
	})
}
