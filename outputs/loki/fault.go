package loki

import (
	"bytes"
	"errors"
	"net/http"
	"regexp"

	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

// Loki answers 400 for entries that it will never take (too old, out of order, too long)
// and for some that it would take later or with other settings. These are the latter. The
// patterns hold on to an end of the text, because its middle shows the stream's labels,
// which whoever causes an event has a say in.
var (
	tooNew = regexp.MustCompile(`has timestamp too new: [^']*$`)
	// ofSettings are answers to a limit or a rule of the tenant's, which refuses every
	// event that is sent with the labels that are configured now.
	ofSettings = regexp.MustCompile(`has [0-9]+ label names; limit [0-9]+[\s;]*$` +
		`|this feature is disallowed\. Please see .limits_config\.allow_structured_metadata. [^']*$` +
		`|^(?:[0-9]+ errors? like: )?missing required labels ` +
		`|^(?:[0-9]+ errors? like: )?ingestion blocked for user `)
)

// classify is the error of a push by what Loki said.
func classify(err error) error {
	status, said, ok := httpx.Answer(err)
	if !ok || status != http.StatusBadRequest {
		return err
	}
	switch {
	case tooNew.Match(said):
		return errors.New(err.Error())
	case ofSettings.Match(said):
		return outputs.Hold(errors.New(err.Error()))
	}
	return err
}

// blocked reads the answer to a push that has a status of success. Loki says so, with 260,
// of a tenant whose ingestion is blocked, and keeps nothing.
func blocked(answer []byte) error {
	if !bytes.Contains(answer, []byte("ingestion blocked for user ")) {
		return nil
	}
	return outputs.Hold(errors.New("loki keeps nothing: " + httpx.OneLine(string(answer))))
}
