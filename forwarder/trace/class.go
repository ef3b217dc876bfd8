package trace

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"syscall"

	"github.com/saker-security/saker/forwarder/journal"
)

// class names what kind of error err is, "" for none. It has nothing of the error's text,
// which may have more in it than a collector should see.
func class(err error) string {
	if err == nil {
		return ""
	}
	if isA[*net.DNSError](err) {
		return "dns"
	}
	if isA[*tls.CertificateVerificationError](err) || isA[tls.AlertError](err) || isA[tls.RecordHeaderError](err) {
		return "tls"
	}
	if e, ok := errors.AsType[net.Error](err); errors.Is(err, context.DeadlineExceeded) || ok && e.Timeout() {
		return "timeout"
	}
	switch {
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection_refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection_broken"
	default:
		return "other"
	}
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// journalClass names what kind of error of the journal's err is, "" for none.
func journalClass(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, journal.ErrFull):
		return "journal_full"
	case errors.Is(err, journal.ErrClosed):
		return "journal_closed"
	case errors.Is(err, journal.ErrTooLarge):
		return "too_large"
	default:
		return "journal_unavailable"
	}
}
