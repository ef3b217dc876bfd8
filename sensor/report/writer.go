package report

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/saker-security/saker/event"
)

// A writerSink writes one line an alert.
type writerSink struct {
	out    io.Writer
	format Format
	buf    []byte
}

// Write writes all lines at once.
func (s *writerSink) Write(_ context.Context, alerts []event.Event) error {
	s.buf = appendLines(s.buf[:0], alerts, s.format)
	if _, err := s.out.Write(s.buf); err != nil {
		return fmt.Errorf("write alerts: %w", err)
	}
	if cap(s.buf) > keepBuffer {
		s.buf = nil
	}
	return nil
}

// keepBuffer is the largest buffer that is kept between writes.
const keepBuffer = 256 << 10

func appendLines(dst []byte, alerts []event.Event, f Format) []byte {
	for i := range alerts {
		dst = append(appendLine(dst, &alerts[i], f), '\n')
	}
	return dst
}

// A fileSink appends one line an alert to a file, which it opens for each write or, with
// KeepAlive, once.
type fileSink struct {
	File
	format Format
	file   *os.File // nil unless it is kept open
	buf    []byte
}

// newFileSink opens the file, so that a name that can't work is found at once.
func newFileSink(c File, f Format) (*fileSink, error) {
	s := &fileSink{File: c, format: f}
	if err := s.open(); err != nil {
		return nil, err
	}
	if !c.KeepAlive {
		return s, s.Close()
	}
	return s, nil
}

// open opens the file for appending. Alerts tell what happens on the machine, so a new
// file is not for everybody to read.
func (s *fileSink) open() error {
	f, err := os.OpenFile(s.Filename, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("open the file for alerts: %w", err)
	}
	s.file = f
	return nil
}

// Write appends all lines at once.
func (s *fileSink) Write(_ context.Context, alerts []event.Event) error {
	if s.file == nil {
		if err := s.open(); err != nil {
			return err
		}
	}
	s.buf = appendLines(s.buf[:0], alerts, s.format)
	_, err := s.file.Write(s.buf)
	if cap(s.buf) > keepBuffer {
		s.buf = nil
	}
	if err != nil {
		_ = s.Close() // the next write opens it anew
		return fmt.Errorf("write alerts: %w", err)
	}
	if !s.KeepAlive {
		return s.Close()
	}
	return nil
}

// Reopen opens the file anew.
func (s *fileSink) Reopen() error {
	if !s.KeepAlive {
		return nil
	}
	if err := s.Close(); err != nil {
		return err
	}
	return s.open()
}

// Close closes the file if it is open.
func (s *fileSink) Close() error {
	if s.file == nil {
		return nil
	}
	f := s.file
	s.file = nil
	if err := f.Close(); err != nil {
		return fmt.Errorf("close the file for alerts: %w", err)
	}
	return nil
}
