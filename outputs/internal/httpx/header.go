package httpx

import (
	"fmt"
	"maps"
	"net/http"
	"slices"

	"golang.org/x/net/http/httpguts"

	"github.com/saker-security/saker/config"
)

// Headers are the headers that a user adds to an output's requests. Their values count as
// secrets, because tokens are what they are mostly used for.
type Headers = map[string]config.Secret

// CheckHeaders reports the first header, by name, that HTTP does not allow. The error
// shows no value.
func CheckHeaders(headers Headers) error {
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		if !httpguts.ValidHeaderFieldName(name) {
			return fmt.Errorf("%q is no name of a header", name)
		}
		if !httpguts.ValidHeaderFieldValue(headers[name].Reveal()) {
			return fmt.Errorf("the value of header %q has a character that no header may have", name)
		}
	}
	return nil
}

// SetHeaders sets headers in h, in place of those of the same name.
func SetHeaders(h http.Header, headers Headers) {
	for name, value := range headers {
		h.Set(name, value.Reveal())
	}
}
