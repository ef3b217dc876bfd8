// Package stream keeps one connection to a server that takes text and never answers, such
// as syslog over TCP.
//
// Nobody acknowledges there, so the package goes by what the kernel knows. A kept
// connection that the server has closed is replaced before anything is written to it, and
// a Write over TCP has succeeded once the server's kernel has acknowledged every byte.
// What the server itself loses after that nobody can tell.
package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

const (
	// dialTime is how long connecting may take, where the context allows more.
	dialTime = 30 * time.Second
	// closeTime is how long Close waits for the server to take what was written.
	closeTime = time.Second
)

// errClosed is why a kept connection, or one that has just been written to, is not good.
var errClosed = errors.New("the server has closed the connection")

// Dial connects. Its context ends when connecting has taken too long.
type Dial func(ctx context.Context) (net.Conn, error)

// Conn is the connection. It is for one goroutine at a time.
type Conn struct {
	dial Dial
	open net.Conn // nil while there is none
}

// New returns a Conn that connects by dial when it is first written to.
func New(dial Dial) *Conn { return &Conn{dial: dial} }

// Write writes p, connecting before that if there is no connection or the kept one is of
// no use any more. After an error the connection is gone, and how much of p the server got
// is unknown.
func (c *Conn) Write(ctx context.Context, p []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.open != nil && check(c.open) != nil {
		c.drop()
	}
	if c.open == nil {
		if err := c.connect(ctx); err != nil {
			return fmt.Errorf("connect: %w", orContext(ctx, err))
		}
	}
	stop := context.AfterFunc(ctx, interrupter(c.open))
	err := c.write(ctx, p)
	if !stop() && err == nil {
		// The interruption may come only now, and must not hit the next Write.
		c.drop()
		return nil
	}
	if err != nil {
		c.drop()
		return fmt.Errorf("write: %w", orContext(ctx, err))
	}
	return nil
}

func (c *Conn) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	open, err := c.dial(ctx)
	if err != nil {
		return err
	}
	c.open = open
	return nil
}

func (c *Conn) write(ctx context.Context, p []byte) error {
	if _, err := c.open.Write(p); err != nil {
		return err
	}
	return flushed(ctx, c.open)
}

// interrupter makes what the connection is busy with return.
func interrupter(open net.Conn) func() {
	return func() { _ = open.SetDeadline(time.Unix(1, 0)) }
}

// orContext is why ctx ended, if it has, and err otherwise.
func orContext(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func (c *Conn) drop() {
	if c.open != nil {
		c.open.Close()
		c.open = nil
	}
}

// Close ends the connection in an orderly way. What the server has sent is read before
// that: a kernel that closes a connection with unread bytes resets it, and the server then
// loses what it has not read yet. TLS sends such bytes of its own accord.
func (c *Conn) Close() error {
	if c.open == nil {
		return nil
	}
	if half, ok := c.open.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_ = c.open.SetReadDeadline(time.Now().Add(closeTime))
		_, _ = io.Copy(io.Discard, c.open)
	}
	c.drop()
	return nil
}

// underlying is the connection below TLS.
func underlying(c net.Conn) net.Conn {
	if below, ok := c.(interface{ NetConn() net.Conn }); ok {
		return below.NetConn()
	}
	return c
}
