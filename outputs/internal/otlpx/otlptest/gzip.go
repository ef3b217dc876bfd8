package otlptest

import (
	"bytes"
	"compress/gzip"
	"io"
)

// gunzip returns nothing for what is not gzip.
func gunzip(body []byte) []byte {
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		return nil
	}
	return plain
}
