package raw

import (
	"archive/zip"
	"bufio"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/packed"
)

// npz is one file of arrays: a zip archive of .npy files.
type npz struct {
	images, labels *zip.File // labels may be nil
	n              int
	shape          packed.Shape
	number         whole // of a label
}

func (s *Source) openNPZ(ctx context.Context, files []File) error {
	s.Form, s.Files, s.Cut = "npz", files, true
	for _, f := range files {
		z, err := s.npz(ctx, f)
		if err != nil {
			return err
		}
		s.Images, s.Shape = s.Images+z.n, z.shape
	}
	s.each = func(ctx context.Context, yield func(Item) error) error {
		for _, f := range files {
			z, err := s.npz(ctx, f)
			if err == nil {
				err = z.each(f.Key, yield)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	return nil
}

// npz opens a file and reads the headers of its arrays.
func (s *Source) npz(ctx context.Context, f File) (npz, error) {
	z, err := readNPZ(s.readerAt(ctx, f), f.Size)
	if err != nil {
		return npz{}, fmt.Errorf("%s: %w", f.Key, err)
	}
	return z, nil
}

func readNPZ(file io.ReaderAt, size int64) (npz, error) {
	archive, err := zip.NewReader(file, size)
	if err != nil {
		return npz{}, fmt.Errorf("no npz, or damaged: %w", err)
	}
	var z npz
	for _, m := range archive.File {
		switch m.Name {
		case "arr_0.npy":
			z.images = m
		case "arr_1.npy":
			z.labels = m
		}
	}
	if z.images == nil {
		return npz{}, errors.New("it has no array arr_0; save the images by numpy.savez(file, images)")
	}
	a, err := headerOf(z.images)
	if err == nil {
		err = z.take(a)
	}
	if err != nil {
		return npz{}, fmt.Errorf("arr_0: %w", err)
	}
	if z.labels == nil {
		return z, nil
	}
	if a, err = headerOf(z.labels); err == nil {
		z.number, err = a.integers()
	}
	if err == nil && (len(a.shape) != 1 || a.shape[0] != z.n) {
		err = fmt.Errorf("its shape is %v, not (%d), a label for each image", a.shape, z.n)
	}
	if err != nil {
		return npz{}, fmt.Errorf("arr_1: %w", err)
	}
	return z, nil
}

func headerOf(m *zip.File) (array, error) {
	r, err := m.Open()
	if err != nil {
		return array{}, err
	}
	defer r.Close()
	return npyHeader(r)
}

// take understands the images' header.
func (z *npz) take(a array) error {
	if a.kind != "|u1" {
		return fmt.Errorf("its elements are %s, not uint8", a.kind)
	}
	switch len(a.shape) {
	case 3:
		a.shape = append(a.shape, 1)
	case 4:
	default:
		return fmt.Errorf("its shape is %v, not N x H x W x C", a.shape)
	}
	z.n, z.shape = a.shape[0], packed.Shape{Height: a.shape[1], Width: a.shape[2], Channels: a.shape[3]}
	if s := z.shape; s.Channels != 1 && s.Channels != 3 || s.Height > maxArraySide || s.Width > maxArraySide {
		return fmt.Errorf("images of %v; channels come last and are 1 or 3, a side has at most %d pixels", s, maxArraySide)
	}
	return nil
}

// maxArraySide bounds the height and width of an array's images.
const maxArraySide = 1 << 13

// each gives the images.
func (z npz) each(name string, yield func(Item) error) error {
	images, err := body(z.images)
	if err != nil {
		return fmt.Errorf("%s: arr_0: %w", name, err)
	}
	defer images.Close()
	labels := &member{}
	if z.labels != nil {
		if labels, err = body(z.labels); err != nil {
			return fmt.Errorf("%s: arr_1: %w", name, err)
		}
		defer labels.Close()
	}
	for i := range z.n {
		pixels, err := images.take(z.shape.Bytes())
		if err != nil {
			return fmt.Errorf("%s: arr_0: image %d of %d: %w; %s", name, i, z.n, err, FixDownload)
		}
		item := Item{Name: fmt.Sprintf("%s, image %d", name, i), Label: NoLabel, Image: pixelsOf(z.shape, pixels)}
		if z.labels != nil {
			b, err := labels.take(z.number.width)
			if err != nil {
				return fmt.Errorf("%s: arr_1: label %d of %d: %w; %s", name, i, z.n, err, FixDownload)
			}
			item.Label = z.number.label(b)
		}
		if err := yield(item); err != nil {
			return err
		}
	}
	if err := images.end(); err != nil {
		return fmt.Errorf("%s: arr_0: after image %d of %d: %w; %s", name, z.n-1, z.n, err, FixDownload)
	}
	if z.labels == nil {
		return nil
	}
	if err := labels.end(); err != nil {
		return fmt.Errorf("%s: arr_1: after label %d of %d: %w; %s", name, z.n-1, z.n, err, FixDownload)
	}
	return nil
}

// member is an array that is being read, behind its header.
type member struct {
	*bufio.Reader
	io.Closer
	piece []byte
}

func body(m *zip.File) (*member, error) {
	file, err := m.Open()
	if err != nil {
		return nil, err
	}
	r := bufio.NewReaderSize(file, 1<<16)
	if _, err := npyHeader(r); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &member{Reader: r, Closer: file}, nil
}

// take reads n bytes into memory that grows with what is there. It is overwritten by
// the next call.
func (m *member) take(n int) ([]byte, error) {
	m.piece = m.piece[:0]
	for len(m.piece) < n {
		have := len(m.piece)
		more := min(n-have, max(readPiece, have))
		if cap(m.piece) < have+more {
			m.piece = append(make([]byte, 0, have+more), m.piece...)
		}
		m.piece = m.piece[:have+more]
		if _, err := io.ReadFull(m.Reader, m.piece[have:]); err != nil {
			return nil, memberError(err)
		}
	}
	return m.piece, nil
}

// end makes sure that nothing follows. The archive's checksum is compared there, and
// not before.
func (m *member) end() error {
	_, err := m.ReadByte()
	switch {
	case err == nil:
		return fmt.Errorf("%w: more bytes follow than its shape says", ErrDamaged)
	case errors.Is(err, io.EOF):
		return nil
	}
	return memberError(err)
}

// memberError says whether reading an array ran into what is not as it was written.
func memberError(err error) error {
	if errors.Is(err, zip.ErrChecksum) || errors.As(err, new(flate.CorruptInputError)) {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}
