package zincsearch

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"

	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

// ofDocument are the reasons by which ZincSearch answers 500 because of a document: a value
// that does not fit the field's type, and a line longer than it takes.
var ofDocument = regexp.MustCompile(`was set type to|token too long`)

// classify is the error of a request by what ZincSearch said.
func classify(err error) error {
	if status, said, _ := httpx.Answer(err); status == http.StatusInternalServerError && ofDocument.Match(said) {
		return outputs.Reject(errors.New(err.Error()))
	}
	return err
}

// readBulk reads the answer to a bulk request of n documents: ZincSearch says how many it
// has taken and passes over those that it cannot read.
func readBulk(text []byte, n int) error {
	var answer struct {
		Count *int   `json:"record_count"`
		Error string `json:"error"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return fmt.Errorf("read the answer to a bulk request: %w", err)
	}
	switch {
	case answer.Error != "":
		return errors.New("zincsearch answered: " + httpx.OneLine(answer.Error))
	case answer.Count == nil:
		return errors.New("the answer to a bulk request lacks the number of documents")
	case *answer.Count < n:
		// Which of them it passed over shows once they have been sent in smaller batches.
		return outputs.Reject(fmt.Errorf("zincsearch took %d of %d documents", *answer.Count, n))
	}
	return nil
}
