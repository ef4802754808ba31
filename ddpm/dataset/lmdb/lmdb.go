package lmdb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	magic        = 0xbeefc0de
	version      = 1
	headerSize   = 16
	minPage      = 512
	maxPage      = 64 << 10
	maxDepth     = 32
	maxKey       = 511
	noPage       = ^uint64(0)
	flagBranch   = 0x01
	flagLeaf     = 0x02
	flagOverflow = 0x04
	flagMeta     = 0x08
	nodeBig      = 0x01 // of a node: the value is in overflow pages
	nodeSub      = 0x02 // it is a database
	nodeDup      = 0x04 // there are several
)

// DB is an open file.
type DB struct {
	file    io.ReaderAt
	page    int64 // bytes
	pages   uint64
	root    uint64
	entries uint64
	txn     uint64
}

// Value is where a value lies in the file.
type Value struct {
	Offset, Size int64 // bytes
}

// Open reads the meta pages of a file of so many bytes.
func Open(file io.ReaderAt, size int64) (*DB, error) {
	head := make([]byte, headerSize+136)
	if _, err := file.ReadAt(head, 0); err != nil {
		return nil, fmt.Errorf("no LMDB file: %w", err)
	}
	first, err := meta(head)
	if err != nil {
		return nil, err
	}
	newest := first
	if _, err := file.ReadAt(head, first.page); err == nil {
		second, err := meta(head)
		if err == nil && second.page == first.page && second.txn > first.txn {
			newest = second
		}
	}
	newest.file, newest.pages = file, uint64(size/newest.page)
	if newest.root != noPage && newest.root >= newest.pages {
		return nil, fmt.Errorf("damaged: its root is page %d of %d", newest.root, newest.pages)
	}
	return &newest, nil
}

// meta reads a meta page.
func meta(b []byte) (DB, error) {
	u32, u64 := binary.LittleEndian.Uint32, binary.LittleEndian.Uint64
	if flags := binary.LittleEndian.Uint16(b[10:]); flags&flagMeta == 0 || u32(b[headerSize:]) != magic {
		return DB{}, errors.New("no LMDB file of a little-endian 64-bit machine: its magic number is another")
	}
	b = b[headerSize:]
	if v := u32(b[4:]); v != version {
		return DB{}, fmt.Errorf("LMDB's data version %d; version %d is read", v, version)
	}
	free, main := b[24:], b[72:] // the two databases, 48 bytes each
	db := DB{page: int64(u32(free)), entries: u64(main[32:]), root: u64(main[40:]), txn: u64(b[128:])}
	if db.page < minPage || db.page > maxPage || db.page&(db.page-1) != 0 {
		return DB{}, fmt.Errorf("damaged: a page size of %d", db.page)
	}
	if flags := binary.LittleEndian.Uint16(main[4:]); flags&nodeDup != 0 {
		return DB{}, errors.New("its keys have several values each, which is not read")
	}
	return db, nil
}

// Entries counts the keys, as the file says.
func (db *DB) Entries() uint64 { return db.entries }

// Read gives a value. It may be called from several goroutines where the file's
// ReadAt may be.
func (db *DB) Read(v Value) ([]byte, error) {
	content := make([]byte, v.Size)
	if _, err := db.file.ReadAt(content, v.Offset); err != nil {
		return nil, fmt.Errorf("read %d bytes at %d: %w", v.Size, v.Offset, err)
	}
	return content, nil
}

// Each visits the keys in order, until visit gives an error, which it returns. The
// key is visit's only until it returns.
func (db *DB) Each(visit func(key []byte, v Value) error) error {
	if db.root == noPage {
		return nil
	}
	w := walk{db: db, visit: visit}
	return w.page(db.root, 0)
}

// walk is a way through the tree.
type walk struct {
	db      *DB
	visit   func(key []byte, v Value) error
	visited uint64
}

func (w *walk) page(number uint64, depth int) error {
	w.visited++
	if depth >= maxDepth || w.visited > w.db.pages {
		return errors.New("damaged: its tree has a loop")
	}
	p, err := w.db.read(number)
	if err != nil {
		return err
	}
	if flags := binary.LittleEndian.Uint16(p[10:]); flags != flagBranch && flags != flagLeaf {
		return fmt.Errorf("damaged: page %d of the tree has flags %#x", number, flags)
	}
	leaf := p[10] == flagLeaf
	lower := int(binary.LittleEndian.Uint16(p[12:]))
	if lower < headerSize || lower > len(p) {
		return fmt.Errorf("damaged: page %d has nodes to byte %d", number, lower)
	}
	for at := headerSize; at+2 <= lower; at += 2 {
		n, err := w.db.node(p, int(binary.LittleEndian.Uint16(p[at:])))
		if err != nil {
			return fmt.Errorf("damaged: page %d: %w", number, err)
		}
		if !leaf {
			err = w.page(n.child(), depth+1)
		} else {
			err = w.leaf(number, n)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// leaf visits a node.
func (w *walk) leaf(page uint64, n node) error {
	switch {
	case n.flags&(nodeSub|nodeDup) != 0:
		return fmt.Errorf("key %q has a database or several values, which is not read", n.key)
	case n.flags&nodeBig != 0:
		v, err := w.db.overflow(n)
		if err != nil {
			return fmt.Errorf("damaged: page %d: key %q: %w", page, n.key, err)
		}
		return w.visit(n.key, v)
	}
	if len(n.rest) < n.size() {
		return fmt.Errorf("damaged: page %d: key %q has %d bytes beyond the page", page, n.key, n.size())
	}
	offset := int64(page)*w.db.page + w.db.page - int64(len(n.rest))
	return w.visit(n.key, Value{Offset: offset, Size: int64(n.size())})
}

// read reads a page of the tree.
func (db *DB) read(number uint64) ([]byte, error) {
	if number >= db.pages {
		return nil, fmt.Errorf("damaged: it leads to page %d of %d", number, db.pages)
	}
	p := make([]byte, db.page)
	if _, err := db.file.ReadAt(p, int64(number)*db.page); err != nil {
		return nil, fmt.Errorf("read page %d: %w", number, err)
	}
	return p, nil
}

// node is an entry of a page.
type node struct {
	lo, hi, flags uint16
	key           []byte
	rest          []byte // of the page, from the value on
}

func (n node) size() int     { return int(n.lo) | int(n.hi)<<16 }
func (n node) child() uint64 { return uint64(n.lo) | uint64(n.hi)<<16 | uint64(n.flags)<<32 }

func (db *DB) node(p []byte, at int) (node, error) {
	if at < headerSize || at+8 > len(p) {
		return node{}, fmt.Errorf("a node at byte %d", at)
	}
	u16 := func(k int) uint16 { return binary.LittleEndian.Uint16(p[at+k:]) }
	n := node{lo: u16(0), hi: u16(2), flags: u16(4)}
	size := int(u16(6))
	if size > maxKey || at+8+size > len(p) {
		return node{}, fmt.Errorf("a key of %d bytes at byte %d", size, at)
	}
	n.key, n.rest = p[at+8:at+8+size], p[at+8+size:]
	return n, nil
}

// overflow finds a large value.
func (db *DB) overflow(n node) (Value, error) {
	if len(n.rest) < 8 {
		return Value{}, errors.New("its place is beyond the page")
	}
	number := binary.LittleEndian.Uint64(n.rest)
	taken := (uint64(n.size()) + headerSize + uint64(db.page) - 1) / uint64(db.page)
	if number >= db.pages || taken > db.pages-number {
		return Value{}, fmt.Errorf("it has %d bytes from page %d of %d on", n.size(), number, db.pages)
	}
	head := make([]byte, headerSize)
	if _, err := db.file.ReadAt(head, int64(number)*db.page); err != nil {
		return Value{}, err
	}
	if head[10] != flagOverflow || uint64(binary.LittleEndian.Uint32(head[12:])) < taken {
		return Value{}, fmt.Errorf("page %d is not where %d bytes begin", number, n.size())
	}
	return Value{Offset: int64(number)*db.page + headerSize, Size: int64(n.size())}, nil
}
