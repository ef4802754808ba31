package dataset

import (
	"fmt"
	"slices"
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

func cifarShape() Shape { return Shape{Height: cifarSide, Width: cifarSide, Channels: 3} }

// readCIFAR appends a file's records to pixels, channels last, and labels.
func readCIFAR(s *source, pixels, labels []uint8) ([]uint8, []uint8, error) {
	if s.packed {
		return nil, nil, &FormatError{File: s.name, Expected: "CIFAR-10 binary records", Found: "gzip data", Fix: "unpack it with gunzip"}
	}
	n := int(s.limit / cifarRecord)
	if rest := s.limit % cifarRecord; n == 0 || rest != 0 {
		s.offset = int64(n) * cifarRecord
		return nil, nil, s.fault(fmt.Sprintf("records of %d bytes each (CIFAR-10 binary)", cifarRecord),
			fmt.Sprintf("%d whole records and then %d bytes", n, rest), fixDownload)
	}
	pixels, labels = slices.Grow(pixels, n*3*cifarPlane), slices.Grow(labels, n)
	var record [cifarRecord]byte
	for range n {
		begun := s.offset
		if err := s.read(record[:], "a CIFAR-10 record"); err != nil {
			return nil, nil, err
		}
		if record[0] >= cifarLabels {
			s.offset = begun
			return nil, nil, s.fault("a label from 0 to 9 (CIFAR-10 binary)", fmt.Sprint(record[0]),
				"give the binary version of CIFAR-10 (not CIFAR-100, not the Python version)")
		}
		labels = append(labels, record[0])
		for p := range cifarPlane {
			pixels = append(pixels, record[1+p], record[1+cifarPlane+p], record[1+2*cifarPlane+p])
		}
	}
	return pixels, labels, s.end(fmt.Sprintf("%d records", n))
}
