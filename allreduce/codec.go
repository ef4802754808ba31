package allreduce

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
)

// codec sends a Segment's buffer as it is, without a copy, and receives one where its
// frames were read, or with a single copy that joins them. All other messages are protobuf's.
type codec struct {
	pool  *bufferPool
	proto encoding.CodecV2
}

func newCodec() codec {
	return codec{pool: new(bufferPool), proto: encoding.GetCodecV2(proto.Name)}
}

func (c codec) Name() string { return "ddpm-ring" }

func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	s, ok := v.(*Segment)
	if !ok {
		return c.proto.Marshal(v)
	}
	return mem.BufferSlice{mem.NewBuffer(s.buf, s.pool)}, nil
}

func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	s, ok := v.(*Segment)
	if !ok {
		return c.proto.Unmarshal(data, v)
	}
	if whole, ok := join(data); ok {
		*s = *whole
		return nil
	}
	*s = *newSegment(c.pool, data.Len())
	data.CopyTo(*s.buf)
	return nil
}

// What both ends of a connection are set to. The windows hold a few segments, so
// that one travels while the next is made; the keepalive finds a host that went
// away without a word.
const (
	streamWindow     = 4 << 20
	connectionWindow = 8 << 20
	// Nothing is read ahead: a frame goes from the kernel, or the TLS record, to where
	// its message lies.
	readBuffer       = 0
	writeBuffer      = 256 << 10
	keepaliveTime    = 10 * time.Second // grpc's least
	keepaliveTimeout = 2500 * time.Millisecond
	// unacknowledged is for how long the successor's kernel may acknowledge nothing
	// of what is sent, and its process no ping. A ring that breaks for it costs a new
	// one, so that it may be short.
	unacknowledged = 1250 * time.Millisecond
)

// maxMessageBytes is the largest message that a ring can need: a segment of whole
// blocks at full width, with a tail.
const maxMessageBytes = headerBytes + 8*MaxTailLanes + MaxSegmentElems/blockLen*(1+rowBytes*maxWidth)

// ServerOptions are what a grpc.Server needs to serve rings. It serves services of
// protobuf as before.
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ForceServerCodecV2(newCodec()),
		experimental.BufferPool(new(framePool)),
		grpc.MaxRecvMsgSize(maxMessageBytes),
		grpc.MaxSendMsgSize(maxMessageBytes),
		grpc.StaticStreamWindowSize(streamWindow),
		grpc.StaticConnWindowSize(connectionWindow),
		grpc.ReadBufferSize(readBuffer),
		grpc.WriteBufferSize(writeBuffer),
		grpc.WaitForHandlers(true),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: keepaliveTime, Timeout: keepaliveTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: keepaliveTime / 2, PermitWithoutStream: true}),
	}
}

// DialOptions are what a connection to a ring's server needs, credentials aside.
// DialLink and Connect use them already.
func DialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithDefaultCallOptions(
			grpc.ForceCodecV2(newCodec()),
			grpc.MaxCallRecvMsgSize(maxMessageBytes),
			grpc.MaxCallSendMsgSize(maxMessageBytes),
		),
		grpc.WithStaticStreamWindowSize(streamWindow),
		grpc.WithStaticConnWindowSize(connectionWindow),
		grpc.WithReadBufferSize(readBuffer),
		grpc.WithWriteBufferSize(writeBuffer),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveTime, Timeout: unacknowledged}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: firstRetry, Multiplier: 1.6, Jitter: 0.2, MaxDelay: lastRetry},
			MinConnectTimeout: 5 * time.Second,
		}),
		grpc.WithNoProxy(), // neighbours are dialed as they are named
		grpc.WithDisableRetry(),
		grpc.WithDisableServiceConfig(),
	}
}

// message wraps bytes that are no segment of a ring, such as a handshake, for the
// codec.
func message(b []byte) *Segment { return &Segment{buf: &b, pool: mem.NopBufferPool{}} }

// receiveHandshake reads the other end's handshake. An error of recv is returned
// as it is.
func receiveHandshake(recv func(any) error) (Member, error) {
	var s Segment
	if err := recv(&s); err != nil {
		return Member{}, err
	}
	defer s.Release()
	return parseHandshake(*s.buf)
}
