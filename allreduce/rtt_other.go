//go:build !linux

package allreduce

import (
	"net"
	"time"
)

// roundTrip is what the process saw.
func roundTrip(_ net.Conn, took time.Duration) time.Duration { return took }
