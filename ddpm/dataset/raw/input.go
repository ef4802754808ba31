package raw

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// maxDeflate bounds how many bytes one byte of deflate can unpack to (RFC 1951:
// two bits can stand for a copy of 258 bytes, so 1032), and with it what a gzip
// file of a known size can hold.
const maxDeflate = 1032

// Input is an open dataset file, unpacked where it is gzip. It counts what has been
// read, so that an error can say where.
type Input struct {
	ctx    context.Context
	name   string
	file   io.Closer
	r      io.Reader
	offset int64
	// limit is the most bytes that the file can hold: exact where packed is false.
	limit  int64
	packed bool
}

// OpenFile opens a file of this machine and looks whether it is gzip.
func OpenFile(ctx context.Context, name string) (*Input, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return NewInput(ctx, name, f, info.Size())
}

// NewInput reads a file of so many bytes from f, which it closes; name is for errors.
func NewInput(ctx context.Context, name string, f io.ReadCloser, size int64) (*Input, error) {
	s := &Input{ctx: ctx, name: name, file: f, limit: size}
	if err := s.unpack(f); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// unpack sets what is read: r, through gzip where the data begins as gzip does (RFC
// 1952, section 2.3.1: 1f 8b).
func (s *Input) unpack(r io.Reader) error {
	b := bufio.NewReaderSize(r, 1<<16)
	s.r = b
	if head, err := b.Peek(2); err != nil || !bytes.Equal(head, []byte{0x1f, 0x8b}) {
		return nil // a read error, if it is one, comes again with the first read
	}
	z, err := gzip.NewReader(b)
	if err != nil {
		return &FormatError{File: s.name, Expected: "a gzip header", Found: err.Error(), Fix: FixDownload}
	}
	s.r, s.packed, s.limit = z, true, s.limit*maxDeflate
	return nil
}

// Close closes the file.
func (s *Input) Close() { _ = s.file.Close() }

// readPiece is how much is read between two looks at the context.
const readPiece = 4 << 20

// At says where a fault of the content is: in the unpacked data, where there is such.
func (s *Input) At(offset int64, expected, found, fix string) error {
	s.offset = offset
	return s.fault(expected, found, fix)
}

// read fills p. what names, for an error, what the source should have held.
func (s *Input) read(p []byte, what string) error {
	for len(p) > 0 {
		if err := s.ctx.Err(); err != nil {
			return fmt.Errorf("read dataset %s: %w", s.name, err)
		}
		n, err := io.ReadFull(s.r, p[:min(len(p), readPiece)])
		s.offset += int64(n)
		p = p[n:]
		if err != nil {
			return s.readError(err, what)
		}
	}
	return nil
}

// readError says what reading at the offset ran into.
func (s *Input) readError(err error, expected string) error {
	var corrupt flate.CorruptInputError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return s.fault(expected, "the end of the file: it is cut off", FixDownload)
	case errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader), errors.As(err, &corrupt):
		found := fmt.Sprintf("damaged gzip data (%v)", err)
		return &FormatError{File: s.name, Offset: s.offset, Inside: s.packed, Expected: expected, Found: found, Fix: FixDownload, Err: ErrDamaged}
	}
	return fmt.Errorf("read dataset %s: %w", s.name, err)
}

// end makes sure that nothing follows; for gzip, that its checksum holds.
func (s *Input) end(what string) error {
	var one [1]byte
	n, err := io.ReadFull(s.r, one[:])
	if n == 1 {
		found := "more bytes"
		if !s.packed {
			found = fmt.Sprintf("%d bytes too many", s.limit-s.offset)
		}
		return s.fault("the end of the file after "+what, found, FixDownload)
	}
	if err != io.EOF {
		return s.readError(err, "the end of the file after "+what)
	}
	return nil
}

// rest reads on behind an archive's end, where gzip compares its checksum. What else may
// be there, such as a tape's padding, is nobody's.
func (s *Input) rest() error {
	if !s.packed {
		return nil
	}
	_, err := io.Copy(io.Discard, s.r)
	var corrupt flate.CorruptInputError
	switch {
	case err == nil, errors.Is(err, gzip.ErrHeader), errors.Is(err, io.ErrUnexpectedEOF):
		return nil
	case errors.Is(err, gzip.ErrChecksum), errors.As(err, &corrupt):
		return fmt.Errorf("%s: %w archive: %w; %s", s.name, ErrDamaged, err, FixDownload)
	}
	return fmt.Errorf("read dataset %s: %w", s.name, err)
}

// fault is a FormatError at the offset.
func (s *Input) fault(expected, found, fix string) error {
	return &FormatError{File: s.name, Offset: s.offset, Inside: s.packed, Expected: expected, Found: found, Fix: fix}
}
