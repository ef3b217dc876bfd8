package httpx

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/saker-security/saker/outputs"
)

// MaxAnswer is how much of an answer is read, in bytes. What comes after it is not waited
// for, and costs the connection.
const MaxAnswer = 64 << 10

// answerTime bounds the wait for an answer's body once its status is known: the status
// decides, and a body that never ends must not hold up the next event.
const answerTime = 5 * time.Second

// ContentType is the default Content-Type of a request.
const ContentType = "application/json; charset=utf-8"

// Encode returns the JSON of payload as all our HTTP outputs send it, and as Falcosidekick
// does: HTML escaped, ended by one newline. A payload that has no JSON is rejected.
func Encode(payload any) ([]byte, error) {
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(payload); err != nil {
		return nil, outputs.Reject(fmt.Errorf("encode payload: %w", err))
	}
	return b.Bytes(), nil
}

// Do sends body to address and returns the first MaxAnswer bytes of a 2xx answer's body.
// The headers are Content-Type: ContentType and the client's User-Agent, then those of
// header, which replace them; header may be nil. Any other answer is an error, classed by
// StatusError. A request that got no answer is a plain error.
func Do(ctx context.Context, client *http.Client, method, address string, body []byte, header http.Header) ([]byte, error) {
	req, err := newRequest(ctx, client, method, address, body, header)
	if err != nil {
		return nil, err
	}
	res, err := send(client, req)
	if err != nil {
		return nil, cleanError(req, err)
	}
	answer := readAnswer(res)
	if res.StatusCode/100 == 2 {
		return answer, nil
	}
	return nil, answered(res.StatusCode, res.Header, hideSecrets(req, answer))
}

// send sends req as client.Do does. That prepares each request for being redirected, which
// costs a tenth of the whole, so it gets only those that are.
func send(client *http.Client, req *http.Request) (*http.Response, error) {
	t, ours := client.Transport.(*transport)
	if !ours || req.URL.User != nil || req.Host != req.URL.Host {
		return client.Do(req)
	}
	res, err := t.RoundTrip(req)
	if err != nil || res.StatusCode/100 != 3 || res.Header.Get("Location") == "" {
		return res, err
	}
	readAnswer(res)
	if req.Body, err = req.GetBody(); err != nil {
		return nil, err
	}
	return client.Do(req)
}

func newRequest(ctx context.Context, client *http.Client, method, address string, body []byte, header http.Header) (*http.Request, error) {
	t, ours := client.Transport.(*transport)
	parse := url.Parse
	if ours {
		parse = t.parse
	}
	u, err := parse(address)
	if err != nil {
		return nil, errors.New("the address is not a valid URL")
	}
	// The address is left out here because parsing it each time costs more than the rest.
	req, err := http.NewRequestWithContext(ctx, method, "", bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("the method is not one of HTTP's")
	}
	req.URL, req.Host = u, u.Host
	req.Header["Content-Type"] = contentType
	if ours {
		req.Header["User-Agent"] = t.agents
	}
	for name, values := range header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	return req, nil
}

var contentType = []string{ContentType}

// readAnswer reads the start of an answer's body and closes it. A body that doesn't come
// is given up.
func readAnswer(res *http.Response) []byte {
	defer res.Body.Close()
	if res.Body == http.NoBody {
		return nil
	}
	giveUp := time.AfterFunc(answerTime, func() { res.Body.Close() })
	defer giveUp.Stop()
	// An answer cut short still has its status; reading to the end keeps the connection.
	answer, _ := io.ReadAll(io.LimitReader(res.Body, MaxAnswer))
	return answer
}
