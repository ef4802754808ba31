package raw

import (
	"fmt"
	"slices"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/packed"
)

// The binary CIFAR-10 format (Krizhevsky 2009; "The CIFAR-10 dataset", section
// "Binary version"): records of one label byte, 0 to 9, and 3072 pixel bytes:
// the red, the green, then the blue plane, each 32 rows of 32.
const (
	cifarSide   = 32
	cifarPlane  = cifarSide * cifarSide
	cifarRecord = 1 + 3*cifarPlane
	cifarLabels = 10
)

// CIFARShape is that of CIFAR-10's images.
func CIFARShape() packed.Shape {
	return packed.Shape{Height: cifarSide, Width: cifarSide, Channels: 3}
}

// ReadCIFAR appends a file's records to pixels, channels last, and labels.
func ReadCIFAR(s *Input, pixels, labels []uint8) ([]uint8, []uint8, error) {
	n := int(s.limit / cifarRecord)
	if !s.packed {
		pixels, labels = slices.Grow(pixels, n*3*cifarPlane), slices.Grow(labels, n)
	}
	err := eachCIFAR(s, func(image []uint8, label uint8) error {
		pixels, labels = append(pixels, image...), append(labels, label)
		return nil
	})
	return pixels, labels, err
}

// eachCIFAR reads a file's records one by one. yield must not keep the image.
func eachCIFAR(s *Input, yield func(image []uint8, label uint8) error) error {
	if s.packed {
		return &FormatError{File: s.name, Expected: "CIFAR-10 binary records", Found: "gzip data", Fix: "unpack it with gunzip"}
	}
	n := int(s.limit / cifarRecord)
	if rest := s.limit % cifarRecord; n == 0 || rest != 0 {
		return s.At(int64(n)*cifarRecord, fmt.Sprintf("records of %d bytes each (CIFAR-10 binary)", cifarRecord),
			fmt.Sprintf("%d whole records and then %d bytes", n, rest), FixDownload)
	}
	var record [cifarRecord]byte
	var image [3 * cifarPlane]byte
	for range n {
		begun := s.offset
		if err := s.read(record[:], "a CIFAR-10 record"); err != nil {
			return err
		}
		if record[0] >= cifarLabels {
			return s.At(begun, "a label from 0 to 9 (CIFAR-10 binary)", fmt.Sprint(record[0]),
				"give the binary version of CIFAR-10 (not CIFAR-100, not the Python version)")
		}
		for p := range cifarPlane {
			image[3*p], image[3*p+1], image[3*p+2] = record[1+p], record[1+cifarPlane+p], record[1+2*cifarPlane+p]
		}
		if err := yield(image[:], record[0]); err != nil {
			return err
		}
	}
	return s.end(fmt.Sprintf("%d records", n))
}
