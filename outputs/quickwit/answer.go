package quickwit

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

// readAnswer reads the answer to the request body of n documents. Quickwit says in it how
// many of them it has rejected, and some versions say which.
func readAnswer(answer, body []byte, n int) error {
	var said struct {
		Rejected int `json:"num_rejected_docs"`
		Failures []struct {
			Message  string `json:"message"`
			Reason   string `json:"reason"`
			Document string `json:"document"`
		} `json:"parse_failures"`
	}
	if err := json.Unmarshal(answer, &said); err != nil {
		return unreadable(answer, err, n)
	}
	if said.Rejected <= 0 && len(said.Failures) == 0 {
		return nil
	}
	reasons := map[string]error{}
	reason := "it gives no reason"
	for _, f := range said.Failures {
		reason = httpx.OneLine(cmp.Or(f.Message, f.Reason, reason))
		reasons[f.Document] = fmt.Errorf("quickwit rejected the document: %s", reason)
	}
	failed := outputs.Partial{}
	place := 0
	for line := range bytes.Lines(body) {
		if err := reasons[string(bytes.TrimSuffix(line, []byte("\n")))]; err != nil {
			failed[place] = outputs.Reject(err)
		}
		place++
	}
	if len(failed) == max(said.Rejected, len(said.Failures)) && n > 1 {
		return failed
	}
	// Which of several it is shows once they have been sent in smaller batches.
	return outputs.Reject(fmt.Errorf("quickwit rejected %d of %d documents: %s", max(said.Rejected, len(said.Failures)), n, reason))
}

// unreadable is the error for an answer that is no JSON. One that has been cut for its
// length is shorter for a smaller batch.
func unreadable(answer []byte, err error, n int) error {
	err = fmt.Errorf("read the answer to an ingest request: %w", err)
	if n > 1 && len(answer) >= httpx.MaxAnswer {
		return outputs.Reject(errors.New(err.Error()))
	}
	return err
}
