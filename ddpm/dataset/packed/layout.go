package packed

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// Shape is the size of an image: rows, columns, channels.
type Shape struct {
	Height   int `json:"height"`
	Width    int `json:"width"`
	Channels int `json:"channels"`
}

// Bytes counts the bytes of one example.
func (s Shape) Bytes() int { return s.Height * s.Width * s.Channels }

// String writes the shape as 28x28x1.
func (s Shape) String() string { return fmt.Sprintf("%dx%dx%d", s.Height, s.Width, s.Channels) }

// maxSide bounds an image's height and width, in pixels.
const maxSide = 4096

// validate refuses what no dataset has.
func (s Shape) validate() error {
	if s.Height < 1 || s.Height > maxSide || s.Width < 1 || s.Width > maxSide || s.Channels != 1 && s.Channels != 3 {
		return fmt.Errorf("images of %v: height and width must be in 1 … %d, channels 1 or 3", s, maxSide)
	}
	return nil
}

const (
	// blockSize and objectSize are the most bytes of images in a block and in an
	// object, unless a single one is larger.
	blockSize, objectSize = 64 << 10, 32 << 20
	hashSize              = sha256.Size
	labelSize             = 4
)

// layout is where images are, as their shape decides.
type layout struct {
	record         int // bytes of an image
	block          int // images of a block
	blocksInObject int
}

func layoutOf(s Shape) layout {
	l := layout{record: s.Bytes()}
	l.block = max(1, blockSize/l.record)
	l.blocksInObject = max(1, objectSize/l.blockBytes())
	return l
}

// blockBytes and perObject are of a full block and of a full object.
func (l layout) blockBytes() int { return l.block * l.record }
func (l layout) perObject() int  { return l.block * l.blocksInObject }

// blocks and objects count those of n images.
func (l layout) blocks(n int) int  { return (n + l.block - 1) / l.block }
func (l layout) objects(n int) int { return (n + l.perObject() - 1) / l.perObject() }

// size is that of an object with n images, in bytes.
func (l layout) size(n int) int64 {
	return int64(n)*int64(l.record+labelSize) + int64(l.blocks(n))*hashSize
}

// Hash is a SHA-256; in JSON it is 64 hex digits.
type Hash [hashSize]byte

// MarshalText implements encoding.TextMarshaler.
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hash) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(h)) {
		return fmt.Errorf("a SHA-256 has %d hex digits, not %d", hex.EncodedLen(len(h)), len(text))
	}
	_, err := hex.Decode(h[:], text)
	return err
}

// leaves appends the hash of each block of an object's images.
func (l layout) leaves(list, images []byte) []byte {
	for len(images) > 0 {
		n := min(len(images), l.blockBytes())
		h := sha256.Sum256(images[:n])
		list, images = append(list, h[:]...), images[n:]
	}
	return list
}

// digest is the name of the content (see the package's documentation).
func digest(s Shape, n int, roots []Hash) string {
	h := sha256.New()
	h.Write(fmt.Appendf(nil, "images %v %d\n", s, n))
	for _, r := range roots {
		h.Write(r[:])
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// Digest is the digest of images that are all in memory, as the packed form of them
// has it: len(images) is a multiple of s.Bytes().
func Digest(s Shape, images []byte) string {
	l, n := layoutOf(s), len(images)/s.Bytes()
	roots := make([]Hash, 0, l.objects(n))
	for len(images) > 0 {
		size := min(len(images), l.perObject()*l.record)
		roots = append(roots, sha256.Sum256(l.leaves(nil, images[:size])))
		images = images[size:]
	}
	return digest(s, n, roots)
}
