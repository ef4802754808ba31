package allreduce

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// roundTrip is how long the way to the other end of a new connection and back took: by the
// kernel's account, since a busy process sees late that it is connected. took is what the
// process saw.
func roundTrip(conn net.Conn, took time.Duration) time.Duration {
	c, ok := conn.(*net.TCPConn)
	if !ok {
		return took
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return took
	}
	// An error is of a connection that is closed meanwhile: what the process saw stands.
	_ = raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil && info.Rtt > 0 {
			took = min(took, time.Duration(info.Rtt)*time.Microsecond)
		}
	})
	return took
}
