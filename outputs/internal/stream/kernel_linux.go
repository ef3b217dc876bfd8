package stream

import (
	"context"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// established is the state of a TCP connection that neither side has ended.
const established = 1

// The pauses between two looks at what the kernel has been acknowledged.
const (
	firstPause = 100 * time.Microsecond
	maxPause   = 10 * time.Millisecond
)

// check returns an error if the server has ended the TCP connection.
func check(c net.Conn) error {
	_, err := pending(c)
	return err
}

// flushed waits until the server's kernel has everything that was written over TCP.
func flushed(ctx context.Context, c net.Conn) error {
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		n, err := pending(c)
		if err != nil || n == 0 {
			return err
		}
		wait := time.NewTimer(pause)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return ctx.Err()
		}
	}
}

// pending is how many bytes that were written have not been acknowledged. It is always 0
// for what is not TCP.
func pending(c net.Conn) (n int, err error) {
	tcp, ok := underlying(c).(*net.TCPConn)
	if !ok {
		return 0, nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return 0, err
	}
	var state uint8
	var failure error
	err = raw.Control(func(fd uintptr) {
		var info *unix.TCPInfo
		// The bytes first: a connection that is reset between the two has none, and
		// another state.
		if n, failure = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ); failure != nil {
			return
		}
		if info, failure = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); failure == nil {
			state = info.State
		}
	})
	switch {
	case err != nil:
		return 0, err
	case failure != nil:
		return 0, failure
	case state != established:
		return n, errClosed
	}
	return n, nil
}
