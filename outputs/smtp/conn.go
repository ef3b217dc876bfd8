package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"strconv"
	"time"

	"github.com/wneessen/go-mail/smtp"

	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

// conn is a connection on which the server has been greeted and, if need be, logged in to.
type conn struct {
	raw    net.Conn // below TLS
	client *smtp.Client
	// maxSize is the largest message that the server takes, in bytes; 0 when it does not say.
	maxSize int
}

// portOfTLS is where servers speak TLS from the start.
const portOfTLS = 465

// leaveTime bounds what is said to a server that is being left.
const leaveTime = time.Second

// connection returns the connection to use: the one there is, or a new one.
func (s *sender) connection(ctx context.Context) (*conn, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	if s.conn != nil {
		return s.conn, nil
	}
	var d net.Dialer
	raw, err := d.DialContext(ctx, "tcp", net.JoinHostPort(s.host, strconv.Itoa(s.port)))
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	c := &conn{raw: raw}
	stop := c.until(ctx)
	err = s.greet(ctx, c)
	if !stop() && err == nil {
		err = errors.New("the connection was given up")
	}
	if err != nil {
		c.close()
		if ctx.Err() != nil {
			return nil, fmt.Errorf("connect: %w", context.Cause(ctx))
		}
		return nil, err
	}
	s.conn = c
	return c, nil
}

// until closes the connection when ctx ends before stop is called. Stop reports whether it
// has not been.
func (c *conn) until(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() { c.raw.Close() })
}

// greet makes a connection ready to take mail.
func (s *sender) greet(ctx context.Context, c *conn) error {
	stream, implicit := c.raw, s.TLS && (s.ImplicitTLS || s.port == portOfTLS)
	if implicit {
		encrypted := tls.Client(stream, s.tls.ConfigFor(s.host))
		if err := encrypted.HandshakeContext(ctx); err != nil {
			return fmt.Errorf("start TLS: %w", err)
		}
		stream = encrypted
	}
	client, err := smtp.NewClient(stream, s.host)
	if err != nil {
		return fmt.Errorf("greet: %w", clean(err))
	}
	c.client = client
	if err := client.Hello(s.Helo); err != nil {
		return fmt.Errorf("greet: %w", clean(err))
	}
	if s.TLS && !implicit {
		if offered, _ := client.Extension("STARTTLS"); !offered {
			return outputs.Hold(errors.New("the server does not offer STARTTLS"))
		}
		if err := client.StartTLS(s.tls.ConfigFor(s.host)); err != nil {
			return fmt.Errorf("start TLS: %w", clean(err))
		}
	}
	if err := s.logIn(client); err != nil {
		return err
	}
	if _, size := client.Extension("SIZE"); size != "" {
		c.maxSize, _ = strconv.Atoi(size) // what is no number says nothing
	}
	client.SkipSMTPUTF8(!s.needsUTF8())
	return nil
}

// needsUTF8 reports whether an address has characters that only SMTPUTF8 allows.
func (s *sender) needsUTF8() bool {
	for _, address := range append([]string{s.from}, s.to...) {
		for _, b := range []byte(address) {
			if b >= 0x80 {
				return true
			}
		}
	}
	return false
}

// logIn logs in if there is something to log in with and the server knows how: an open
// relay needs none.
func (s *sender) logIn(client *smtp.Client) error {
	auth := s.newMechanism()
	if auth == nil {
		return nil
	}
	if offered, _ := client.Extension("AUTH"); !offered {
		return nil
	}
	err := client.Auth(auth)
	if answer, ok := errors.AsType[*textproto.Error](err); ok && answer.Code/100 == 5 {
		return outputs.Hold(fmt.Errorf("log in: %w", s.hide(err)))
	}
	if err != nil {
		return fmt.Errorf("log in: %w", s.hide(err))
	}
	return nil
}

// alive asks the server whether the connection still stands.
func (c *conn) alive(ctx context.Context) bool {
	stop := c.until(ctx)
	err := c.client.Noop()
	return stop() && err == nil
}

// recover gets the connection ready for the next message after the server has refused one.
func (c *conn) recover(ctx context.Context, err error) bool {
	answer, ok := errors.AsType[*textproto.Error](err)
	switch {
	case !ok:
		return outputs.Rejected(err) // by us, before anything was said
	case answer.Code == 421: // the server hangs up
		return false
	}
	stop := c.until(ctx)
	err = c.client.Reset()
	return stop() && err == nil
}

// quit takes leave and closes the connection.
func (c *conn) quit() {
	_ = c.raw.SetDeadline(time.Now().Add(leaveTime))
	_ = c.client.Quit() // the server may be gone
	c.close()
}

func (c *conn) close() { _ = c.raw.Close() }

// clean returns err with the server's words on one line.
func clean(err error) error {
	answer, ok := errors.AsType[*textproto.Error](err)
	if !ok {
		return err
	}
	return &textproto.Error{Code: answer.Code, Msg: httpx.OneLine(answer.Msg)}
}
