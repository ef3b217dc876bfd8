package httpx

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Exchange sends a request that a vendor's library has built and returns the answer with
// its body in memory, so that closing it is optional. Outputs give it to such a library in
// place of its own HTTP client.
//
// The body of a 2xx answer is whole and has at most limit bytes; one that is longer or cut
// short is an error. Of any other answer at most MaxAnswer bytes are kept, with the given
// secrets hidden. An error shows neither the request's URL nor the secrets.
func Exchange(client *http.Client, req *http.Request, limit int64, secrets ...string) (*http.Response, error) {
	ctx, cancel := context.WithCancel(req.Context())
	defer cancel()
	res, err := client.Do(req.WithContext(ctx))
	if err != nil {
		return nil, hideInError(CleanError(err), secrets)
	}
	defer res.Body.Close()
	var body []byte
	if res.StatusCode/100 == 2 {
		body, err = readWhole(res.Body, limit)
		if err != nil {
			return nil, hideInError(err, secrets)
		}
	} else {
		giveUp := time.AfterFunc(answerTime, cancel)
		defer giveUp.Stop()
		// The status of an answer cut short says enough.
		body, _ = io.ReadAll(io.LimitReader(res.Body, MaxAnswer))
		body = []byte(hideAll(string(body), secrets))
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	res.ContentLength = int64(len(body))
	return res, nil
}

func readWhole(r io.Reader, limit int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read the endpoint's answer: %w", CleanError(err))
	}
	if int64(len(body)) > limit {
		return nil, fmt.Errorf("the endpoint's answer has more than %d bytes", limit)
	}
	return body, nil
}

// OneLine returns the start of a text from outside on one line, fit for an error.
func OneLine(text string) string { return answerText(nil, []byte(text)) }

// hideAll replaces the secrets in text.
func hideAll(text string, secrets []string) string {
	longestFirst := slices.SortedFunc(slices.Values(secrets), func(a, b string) int { return len(b) - len(a) })
	for _, s := range longestFirst {
		if s != "" {
			text = strings.ReplaceAll(text, s, hidden)
		}
	}
	return text
}

func hideInError(err error, secrets []string) error {
	if text := hideAll(err.Error(), secrets); text != err.Error() {
		return &hiddenError{text, err}
	}
	return err
}
