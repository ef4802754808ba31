package allreduce

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
)

// ErrFenced marks what comes from another run, generation or step, or from a
// member that has no place here: something late, lost or misconfigured. It is
// refused, never waited out.
var ErrFenced = errors.New("fenced off")

// RunTag names a run in ring messages.
type RunTag [8]byte

// NewRunTag is the first 8 bytes of SHA-256 over the run's name, a zero byte, and
// the id that tells it from earlier runs of that name.
func NewRunTag(run, id string) RunTag {
	sum := sha256.Sum256([]byte(run + "\x00" + id))
	return RunTag(sum[:8])
}

func (t RunTag) String() string { return hex.EncodeToString(t[:]) }

// Member is one rank in one generation of a run: who speaks on a link.
type Member struct {
	Run        RunTag
	Generation uint64
	// Rank is in 0 … World-1. A rank sends to the next one, the last to rank 0.
	Rank, World int
}

// maxWorld keeps a hop's number within its header field.
const maxWorld = 1 << 15

// Validate refuses a member that no ring can have.
func (m Member) Validate() error {
	if m.World < 1 || m.World > maxWorld {
		return fmt.Errorf("ring of %d members: must be in 1 … %d", m.World, maxWorld)
	}
	if m.Rank < 0 || m.Rank >= m.World {
		return fmt.Errorf("rank %d in a ring of %d: must be in 0 … %d", m.Rank, m.World, m.World-1)
	}
	return nil
}

func (m Member) String() string {
	return fmt.Sprintf("rank %d of %d in generation %d of run %s", m.Rank, m.World, m.Generation, m.Run)
}

// Predecessor is the member that this one receives from.
func (m Member) Predecessor() Member {
	m.Rank = (m.Rank + m.World - 1) % m.World
	return m
}

// Successor is the member that this one sends to.
func (m Member) Successor() Member {
	m.Rank = (m.Rank + 1) % m.World
	return m
}

// A handshake is the first message each way on a stream: who sends it. Its
// layout, little-endian:
//
//	0  magic "DRH" and the version, 2
//	4  run tag, 8 bytes
//	12 generation, 8 bytes
//	20 rank, 4 bytes
//	24 world, 4 bytes
const (
	handshakeBytes = 28
	handshakeMagic = "DRH\x02"
)

// appendHandshake appends m's handshake.
func appendHandshake(dst []byte, m Member) []byte {
	dst = append(dst, handshakeMagic...)
	dst = append(dst, m.Run[:]...)
	dst = binary.LittleEndian.AppendUint64(dst, m.Generation)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(m.Rank))
	return binary.LittleEndian.AppendUint32(dst, uint32(m.World))
}

// parseHandshake reads who sent src.
func parseHandshake(src []byte) (Member, error) {
	if len(src) != handshakeBytes {
		return Member{}, fmt.Errorf("%w handshake: %d bytes, want %d", ErrMalformed, len(src), handshakeBytes)
	}
	if string(src[:4]) != handshakeMagic {
		return Member{}, fmt.Errorf("%w handshake: starts with %q, want %q: is the other end of this version?", ErrMalformed, src[:4], handshakeMagic)
	}
	rank, world := binary.LittleEndian.Uint32(src[20:]), binary.LittleEndian.Uint32(src[24:])
	if world < 1 || world > maxWorld || rank >= world {
		return Member{}, fmt.Errorf("%w handshake: rank %d in a ring of %d", ErrMalformed, rank, world)
	}
	return Member{
		Run:        RunTag(src[4:12]),
		Generation: binary.LittleEndian.Uint64(src[12:]),
		Rank:       int(rank),
		World:      int(world),
	}, nil
}
