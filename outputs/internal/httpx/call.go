package httpx

import (
	"context"
	"encoding/base64"
	"net/http"
)

// Call is a request to a service that says in the body of an answer what its status leaves
// open.
type Call struct {
	Method, Address string
	Body            []byte
	// Header is added to the usual headers, as Do does.
	Header http.Header
	// Secrets are texts of the body that an answer may repeat. They are hidden in errors
	// and in what Judge gets, as those of address and headers are.
	Secrets []string
	// Judge returns the error for an answer that is not 2xx, of which it gets the first
	// kilobytes; nil is StatusError.
	Judge func(status int, header http.Header, answer []byte) error
}

// Do sends the request and returns the first MaxAnswer bytes of a 2xx answer's body. A
// request that got no answer is a plain error.
func (c Call) Do(ctx context.Context, client *http.Client) ([]byte, error) {
	req, err := newRequest(ctx, client, c.Method, c.Address, c.Body, c.Header)
	if err != nil {
		return nil, err
	}
	res, err := send(client, req)
	if err != nil {
		return nil, hideInError(cleanError(req, err), c.Secrets)
	}
	answer := readAnswer(res)
	if res.StatusCode/100 == 2 {
		return answer, nil
	}
	answer = []byte(hideAll(string(hideSecrets(req, answer)), c.Secrets))
	if c.Judge != nil {
		return nil, c.Judge(res.StatusCode, res.Header, answer)
	}
	return nil, StatusError(res.StatusCode, res.Header, answer)
}

// BasicAuth returns the value of the header Authorization for a user and a password.
func BasicAuth(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}
