package openobserve

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

// classify is err, of a request that got status, by what OpenObserve said. It answers 400
// while a stream is being deleted, which passes.
func classify(err error, status int, said []byte) error {
	if status == http.StatusBadRequest && bytes.Contains(said, []byte("being deleted")) {
		return errors.New(err.Error())
	}
	return err
}

// readAnswer reads the answer to a request of n records: OpenObserve says in it how many of
// them it could not take, but not which.
func readAnswer(text []byte, n int) error {
	var answer struct {
		Code   int `json:"code"`
		Status []struct {
			Failed int    `json:"failed"`
			Error  string `json:"error"`
		} `json:"status"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return fmt.Errorf("read the answer to an ingestion: %w", err)
	}
	if answer.Code != 0 && answer.Code/100 != 2 {
		return classify(httpx.StatusError(answer.Code, nil, text), answer.Code, text)
	}
	failed, reason := 0, "it gives no reason"
	for _, s := range answer.Status {
		failed += max(s.Failed, 0)
		if s.Error != "" {
			reason = httpx.OneLine(s.Error)
		}
	}
	if failed == 0 {
		return nil
	}
	// Which of several it is shows once they have been sent in smaller batches.
	return outputs.Reject(fmt.Errorf("openobserve could not take %d of %d records: %s", failed, n, reason))
}
