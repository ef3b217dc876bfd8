package kafkarest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

// topicAnswer reads the answer of versions 1 and 2: a list with a place for each record,
// whose error code is null when it was stored.
func topicAnswer(answer []byte, n int) error {
	var all struct {
		Offsets []struct {
			Code *int   `json:"error_code"`
			Text string `json:"error"`
		} `json:"offsets"`
	}
	if err := json.Unmarshal(answer, &all); err != nil {
		return errors.New("the proxy's answer is no JSON; is this the address of a topic?")
	}
	if len(all.Offsets) != n {
		return fmt.Errorf("the proxy answered for %d of %d records", len(all.Offsets), n)
	}
	failed := outputs.Partial{}
	for i, o := range all.Offsets {
		if o.Code != nil && *o.Code != 0 {
			failed[i] = recordError(*o.Code, o.Text)
		}
	}
	return failed.OrNil()
}

// recordError classes the error of a record in versions 1 and 2, which tell nothing more
// than whether another try makes sense. What does not is mostly the topic's or the
// producer's fault (an authorization, a limit), seldom the record's.
func recordError(code int, text string) error {
	const final = 1
	err := fmt.Errorf("the proxy refused a record: %s (error_code %d)", httpx.OneLine(text), code)
	if code == final {
		return outputs.Hold(err)
	}
	return err
}

// recordsAnswer reads the answer of version 3: one object after the other, each with a
// status like HTTP's. The proxy answers what it has understood, so that records behind a
// malformed one have none.
func recordsAnswer(answer []byte, n int) error {
	failed := outputs.Partial{}
	dec := json.NewDecoder(bytes.NewReader(answer))
	for i := range n {
		var one struct {
			Code    int    `json:"error_code"`
			Message string `json:"message"`
		}
		if err := dec.Decode(&one); err != nil {
			missing := errors.New("the proxy did not answer for this record")
			if !errors.Is(err, io.EOF) {
				missing = errors.New("the proxy's answer is no JSON; is this the address of a topic's records?")
			}
			for rest := i; rest < n; rest++ {
				failed[rest] = missing
			}
			break
		}
		if err := v3Error(one.Code, one.Message); err != nil {
			failed[i] = err
		}
	}
	return failed.OrNil()
}

// v3Error classes the error of a record in version 3. Its codes are statuses of HTTP, or
// such with two more digits.
func v3Error(code int, message string) error {
	status := code
	if status >= 10000 {
		status /= 100
	}
	switch {
	case code == 0 || status/100 == 2:
		return nil
	case status < 100 || status > 599:
		return fmt.Errorf("the proxy refused a record: %s (error_code %d)", httpx.OneLine(message), code)
	}
	return httpx.StatusError(status, nil, []byte(fmt.Sprintf("%s (error_code %d)", httpx.OneLine(message), code)))
}
