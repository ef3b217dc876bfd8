package report

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/saker-security/saker/event"
)

// syslogPaths are the places where systems have the local syslog's socket.
var syslogPaths = []string{"/dev/log", "/run/systemd/journal/dev-log", "/var/run/syslog", "/var/run/log"}

const (
	syslogTag     = "saker"
	facilityUser  = 1
	syslogTimeout = 2 * time.Second
	// syslogMax is how much of an alert is sent where the socket doesn't take all of it.
	syslogMax = 8 << 10
)

// A syslogSink sends alerts to the local syslog by RFC 3164, as facility user. The
// severity is the alert's priority: Emergency 0 to Debug 7.
type syslogSink struct {
	paths  []string
	format Format
	conn   net.Conn
	stream bool
	buf    []byte
}

// Write sends one message an alert. When syslog has been restarted it connects again.
func (s *syslogSink) Write(ctx context.Context, alerts []event.Event) error {
	for i := range alerts {
		s.buf = s.message(s.buf[:0], &alerts[i])
		old := s.conn != nil
		err := s.send(ctx)
		if err != nil && old {
			err = s.send(ctx)
		}
		if err != nil {
			return fmt.Errorf("send alerts to syslog: %w", err)
		}
		if cap(s.buf) > keepBuffer {
			s.buf = nil
		}
	}
	return nil
}

func (s *syslogSink) message(dst []byte, e *event.Event) []byte {
	severity := int(event.Emergency) - int(e.Priority)
	severity = min(max(severity, 0), 7)
	dst = append(dst, '<')
	dst = strconv.AppendInt(dst, int64(facilityUser<<3|severity), 10)
	dst = append(dst, '>')
	dst = time.Now().AppendFormat(dst, time.Stamp)
	dst = append(dst, ' ')
	dst = append(dst, syslogTag...)
	dst = append(dst, '[')
	dst = strconv.AppendInt(dst, int64(os.Getpid()), 10)
	dst = append(dst, "]: "...)
	return appendLine(dst, e, s.format)
}

// send sends buf, after connecting if need be. An error closes the connection.
func (s *syslogSink) send(ctx context.Context) error {
	if err := s.connect(ctx); err != nil {
		return err
	}
	err := s.conn.SetWriteDeadline(time.Now().Add(syslogTimeout))
	if err == nil {
		err = s.put(s.buf)
	}
	if errors.Is(err, syscall.EMSGSIZE) && len(s.buf) > syslogMax {
		err = s.put(s.buf[:syslogMax])
	}
	if err != nil {
		return errors.Join(err, s.Close())
	}
	return nil
}

func (s *syslogSink) put(message []byte) error {
	if s.stream {
		message = append(message, '\n')
	}
	_, err := s.conn.Write(message)
	return err
}

func (s *syslogSink) connect(ctx context.Context) error {
	if s.conn != nil {
		return nil
	}
	var d net.Dialer
	ctx, cancel := context.WithTimeout(ctx, syslogTimeout)
	defer cancel()
	var first error
	for _, network := range []string{"unixgram", "unix"} {
		for _, path := range s.paths {
			conn, err := d.DialContext(ctx, network, path)
			if err == nil {
				s.conn, s.stream = conn, network == "unix"
				return nil
			}
			if first == nil {
				first = err
			}
		}
	}
	return first
}

// Close closes the connection if there is one.
func (s *syslogSink) Close() error {
	if s.conn == nil {
		return nil
	}
	conn := s.conn
	s.conn = nil
	return conn.Close()
}
