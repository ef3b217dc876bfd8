package httpx

import (
	"bytes"
	"compress/gzip"
	"errors"
	"sync"

	"github.com/saker-security/saker/outputs"
)

// Pieces sends a batch of n events in several requests. It calls next with the place of the
// first event that has not been sent; next sends some events from there on, at least one,
// and returns the place behind them with what became of them, by the rules of Sender.Send.
// It may return an outputs.Partial, whose places count from from.
//
// Once a piece has failed for another reason than its events, the rest is not tried. The
// error is one of the whole batch, or an outputs.Partial.
func Pieces(n int, next func(from int) (to int, err error)) error {
	failed := outputs.Partial{}
	for from := 0; from < n; {
		to, err := next(from)
		if from == 0 && to >= n {
			return err
		}
		parts, partly := errors.AsType[outputs.Partial](err)
		switch {
		case err == nil:
		case outputs.Rejected(err):
			if to-from > 1 {
				// Which of them is bad shows once they are a batch of their own.
				err = errors.New(err.Error())
			}
			fail(failed, from, to, err)
		case partly:
			for i, part := range parts {
				failed[from+i] = part
			}
		default:
			fail(failed, from, n, err)
			to = n
		}
		from = to
	}
	return failed.OrNil()
}

func fail(failed outputs.Partial, from, to int, err error) {
	for i := from; i < to; i++ {
		failed[i] = err
	}
}

// Fill appends to dst the events of a batch of n, from one place on, until the next would
// make it longer than limit bytes, and returns the place behind the last that it appended.
// The first is appended whatever its length.
func Fill(dst []byte, from, n, limit int, appendOne func(dst []byte, i int) []byte) (body []byte, to int) {
	for to = from; to < n; to++ {
		before := len(dst)
		dst = appendOne(dst, to)
		if to > from && len(dst) > limit {
			return dst[:before], to
		}
	}
	return dst, n
}

// compressors are kept because making one costs more than compressing a small request.
var compressors = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}

// Gzip returns body compressed, for a request with the header Content-Encoding: gzip.
func Gzip(body []byte) []byte {
	z := compressors.Get().(*gzip.Writer) //nolint:forcetypeassert // the pool holds nothing else
	defer compressors.Put(z)
	var b bytes.Buffer
	b.Grow(len(body)/4 + 64)
	z.Reset(&b)
	_, _ = z.Write(body) // a buffer takes everything
	_ = z.Close()
	return b.Bytes()
}
