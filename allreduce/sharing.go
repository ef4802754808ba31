package allreduce

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sync/errgroup"
)

// ErrApart marks a ring whose members can't reach each other's memory. It goes on by
// messages.
var ErrApart = errors.New("the members share no memory")

// ApartError is an ErrApart, and says which rank could not: where it is one of several, this
// one if it is among them.
type ApartError struct {
	Rank int
	err  error
}

func (e *ApartError) Error() string { return fmt.Sprintf("%v: rank %d: %v", ErrApart, e.Rank, e.err) }

// Unwrap gives what it is.
func (e *ApartError) Unwrap() []error { return []error{ErrApart, e.err} }

// host is the memory that the members of a ring share that are on one machine.
type host struct {
	// first is the rank of the first of them, local this rank's place among them.
	first, local int
	rooms        []*room // in their order, the own one too
	// lanes is how many of them reduce a chunk, the first ones: all, where there are no
	// other hosts. lane is this rank's between the hosts, nil if it has none.
	lanes int
	lane  *lane
	// pieces is how many have been reduced in earlier steps.
	pieces uint32
	// sums is room for a block.
	sums [blockOfPiece]int64
}

func (h *host) own() *room { return h.rooms[h.local] }

// unmap gives the memory back. Nobody may use it any more.
func (h *host) unmap() {
	for _, r := range h.rooms {
		if r != nil {
			r.unmap()
		}
	}
}

// Share makes the ring reduce through memory that the members of each host share, and
// between hosts in lanes, if they can: if those of a host are processes of one machine and
// see each other's. Either all members call it
// before their first step, or none. Every byte that it asks of the others goes round
// the ring, and it waits for all. Where one can't, all go on by messages, and the error
// is an ApartError; any other breaks the ring.
func (r *Ring) Share(ctx context.Context) error {
	if r.cfg.World == 1 {
		return nil
	}
	if err := r.begin(); err != nil {
		return fmt.Errorf("share memory: %w", err)
	}
	h, apart, err := r.meet(ctx)
	if err == nil && apart == nil {
		err = r.settle(h)
	}
	if err := r.end(err); err != nil {
		return fmt.Errorf("share memory, %v: %w", r.cfg.Member, err)
	}
	return apart
}

// settle gives the ring its shared memory, and its lane.
func (r *Ring) settle(h *host) error {
	if r.lane != nil {
		cfg := r.cfg
		cfg.Rank, cfg.World, cfg.Hosts, cfg.HalvingElems = r.cfg.Hosts.seat(r.cfg.Rank).host, len(r.cfg.Hosts), nil, 0
		ring, err := NewRing(cfg, r.lane)
		if err != nil {
			h.unmap()
			return err
		}
		_, next, _ := r.cfg.Hosts.LaneNeighbours(r.cfg.Rank)
		h.lane = &lane{ring: ring, next: next}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.host = h
	return nil
}

// borrow returns the shared memory for an all-reduce, nil if the ring has none. It is
// there until giveBack.
func (r *Ring) borrow() *host {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.borrowed = r.host != nil
	return r.host
}

func (r *Ring) giveBack() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.borrowed = false
	r.moveOut()
}

// moveOut gives the shared memory of a ring back that is over. It is called under mu.
func (r *Ring) moveOut() {
	if r.host != nil && r.broken != nil && !r.borrowed && !r.busy {
		r.host.unmap()
		r.host = nil
	}
}

// Shared says that the ring reduces through memory.
func (r *Ring) Shared() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.host != nil
}

// meet makes this rank's room, opens the others', and hears whether all could.
func (r *Ring) meet(ctx context.Context) (h *host, apart, err error) {
	s := r.cfg.Hosts.seat(r.cfg.Rank)
	h = &host{first: s.first, local: s.local, rooms: make([]*room, s.members), lanes: r.cfg.Hosts.Lanes()}
	defer func() {
		if apart != nil || err != nil {
			h.unmap()
		}
	}()
	own, offered, file, failed := r.makeRoom()
	if failed == nil {
		h.rooms[h.local] = own
		// Others open it before they say that they have.
		defer func() { err = errors.Join(err, file.Close()) }()
	}
	keys, err := r.circulate(ctx, appendOffer(nil, offered, failed))
	if err != nil {
		return h, nil, err
	}
	for local := range h.rooms {
		if failed != nil {
			break
		}
		if local == h.local {
			continue
		}
		switch o, err := parseOffer(keys[h.first+local]); {
		case err == nil:
			h.rooms[local], failed = o.open()
		case errors.Is(err, ErrMalformed):
			failed = err
		default: // that rank has no room, and says so to all
		}
	}
	verdicts, err := r.circulate(ctx, appendOffer(nil, offer{}, failed))
	if err != nil {
		return h, nil, err
	}
	if failed != nil {
		return h, &ApartError{r.cfg.Rank, failed}, nil
	}
	for rank, m := range verdicts {
		if _, failed := parseOffer(m); failed != nil {
			return h, &ApartError{rank, failed}, nil
		}
	}
	return h, nil, nil
}

var errPrivate = errors.New("it was told not to share memory")

func (r *Ring) makeRoom() (*room, offer, *os.File, error) {
	if r.cfg.Private {
		return nil, offer{}, nil, errPrivate
	}
	room, key, file, err := makeRoom()
	o := offer{room: key}
	if s := r.cfg.Sums; s != nil && err == nil {
		o.sums, o.elems, room.vector = s.key, uint64(len(s.values)), s.values
	}
	return room, o, file, err
}

// open maps a room, and with it the sums of its owner.
func (o offer) open() (*room, error) {
	r, err := openRoom(o.room)
	if err != nil || o.elems == 0 {
		return r, err
	}
	vector, unmap, err := openSums(o.sums, int(o.elems))
	if err != nil {
		r.unmap()
		return nil, err
	}
	room := r.unmap
	r.vector, r.unmap = vector, func() {
		room()
		unmap()
	}
	return r, nil
}

// circulate sends what this rank has to say round the ring, and returns what all say,
// by rank. A message begins with its rank, after the magic.
func (r *Ring) circulate(ctx context.Context, own []byte) ([][]byte, error) {
	world := r.cfg.World
	all := make([][]byte, world)
	all[r.cfg.Rank] = own
	for hop := range world - 1 {
		g, ctx := errgroup.WithContext(ctx)
		g.Go(func() error {
			from := (r.cfg.Rank + world - hop) % world
			b := binary.LittleEndian.AppendUint32([]byte(offerMagic), uint32(from))
			return r.link.Send(ctx, message(append(b, all[from]...)))
		})
		g.Go(func() error {
			s, err := r.link.Recv(ctx)
			if err != nil {
				return err
			}
			defer s.Release()
			from, b := (r.cfg.Rank+world-1-hop)%world, *s.buf
			if len(b) < len(offerMagic)+4 || string(b[:len(offerMagic)]) != offerMagic || binary.LittleEndian.Uint32(b[len(offerMagic):]) != uint32(from) {
				return fmt.Errorf("%w: a message of %d bytes where rank %d tells of its memory", ErrMalformed, len(b), from)
			}
			all[from] = append([]byte(nil), b[len(offerMagic)+4:]...)
			return nil
		})
		if err := g.Wait(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// offer says where a rank's room is, and its Sums if they have elements. Its layout after
// magic and rank, little-endian: of each key pid, 4 bytes; descriptor, 4 bytes; name, 16
// bytes; then the elements, 8 bytes; and perhaps a reason why there is no room.
type offer struct {
	room, sums roomKey
	elems      uint64
}

const (
	offerMagic = "DRM\x02"
	offerBytes = 2*24 + 8
	maxReason  = 512
	// maxSums is far above the vectors that there are, and its bytes are an int.
	maxSums = 1 << 40
)

func appendOffer(dst []byte, o offer, failed error) []byte {
	for _, key := range []roomKey{o.room, o.sums} {
		dst = binary.LittleEndian.AppendUint32(dst, key.pid)
		dst = binary.LittleEndian.AppendUint32(dst, key.descriptor)
		dst = append(dst, key.name[:]...)
	}
	dst = binary.LittleEndian.AppendUint64(dst, o.elems)
	if failed != nil {
		reason := failed.Error()
		dst = append(dst, reason[:min(len(reason), maxReason)]...)
	}
	return dst
}

func parseOffer(src []byte) (o offer, err error) {
	if len(src) < offerBytes {
		return o, fmt.Errorf("%w offer of memory: %d bytes, want %d at least", ErrMalformed, len(src), offerBytes)
	}
	if len(src) > offerBytes {
		return o, errors.New(string(src[offerBytes:]))
	}
	for i, key := range []*roomKey{&o.room, &o.sums} {
		b := src[24*i:]
		*key = roomKey{pid: binary.LittleEndian.Uint32(b), descriptor: binary.LittleEndian.Uint32(b[4:]), name: [16]byte(b[8:24])}
	}
	if o.elems = binary.LittleEndian.Uint64(src[48:]); o.elems > maxSums {
		return offer{}, fmt.Errorf("%w offer of memory: %d sums", ErrMalformed, o.elems)
	}
	return o, nil
}
