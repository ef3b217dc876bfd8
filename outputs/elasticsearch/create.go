package elasticsearch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"

	"github.com/elastic/go-elasticsearch/v8/esapi"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

// create creates the documents of one batch. What the cluster refuses because of one
// field is created without it, once.
func (s *sender) create(ctx context.Context, docs []document) error {
	failed, total := outputs.Partial{}, len(docs)
	send := s.createSingly
	if s.Batching.Enabled {
		send = s.createInBulk
	}
	for len(docs) > 0 {
		again, err := send(ctx, docs, total, failed)
		if err != nil {
			return err
		}
		docs = again // each of them trimmed, and so not again once more
	}
	if err, alone := failed[0]; alone && total == 1 {
		return err
	}
	return failed.OrNil()
}

// createSingly creates the documents, of a batch of total, one by one. It notes in failed
// those that could not be created and returns those to create once more. An error is one
// of the whole batch.
func (s *sender) createSingly(ctx context.Context, docs []document, total int, failed outputs.Partial) (again []document, err error) {
	for i, d := range docs {
		r, err := s.createOne(ctx, d)
		if err != nil && i == 0 && len(docs) == total {
			return nil, err
		}
		if err != nil {
			// The cluster cannot be reached, so that the rest need not be tried.
			for _, d := range slices.Concat(docs[i:], again) {
				failed[d.place] = err
			}
			return nil, nil
		}
		again = d.settle(r, again, failed)
	}
	return again, nil
}

// createOne creates one document and returns what became of it.
func (s *sender) createOne(ctx context.Context, d document) (result, error) {
	path := "/" + indexAt(s.Config, s.now()) + "/" + s.Type
	query := url.Values{}
	if d.id != "" {
		path += "/" + url.PathEscape(d.id)
		query.Set("op_type", "create")
	}
	if s.Pipeline != "" {
		query.Set("pipeline", s.Pipeline)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, path, bytes.NewReader(payload(nil, d.event)))
	if err != nil {
		return result{}, err
	}
	req.URL.RawQuery = query.Encode()
	res, err := s.transport.Perform(req) //nolint:bodyclose // the transport has read the answer whole
	if err != nil {
		return result{}, err
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return result{}, err
	}
	return newResult(res.StatusCode, res.Header, body), nil
}

// createInBulk is createSingly with as few requests as the documents' size allows.
func (s *sender) createInBulk(ctx context.Context, docs []document, total int, failed outputs.Partial) (again []document, err error) {
	index := indexAt(s.Config, s.now())
	for len(docs) > 0 {
		body, n := s.bulkBody(index, docs)
		results, err := s.bulk(ctx, body, n)
		switch {
		case err != nil && n == total:
			return nil, err
		case outputs.Rejected(err) && n > 1:
			// Which of them is bad shows once they are a batch of their own.
			err = errors.New(err.Error())
		}
		for i, d := range docs[:n] {
			if err != nil {
				failed[d.place] = err
				continue
			}
			again = d.settle(results[i], again, failed)
		}
		docs = docs[n:]
	}
	return again, nil
}

// bulkBody returns the body for as many of the documents as may go together, at least one,
// and their number.
func (s *sender) bulkBody(index string, docs []document) (body []byte, n int) {
	body = make([]byte, 0, min(len(docs)<<10, int(s.Batching.BatchSize)))
	for _, d := range docs {
		before := len(body)
		body = appendBulk(body, index, d)
		if n > 0 && len(body) > int(s.Batching.BatchSize) {
			return body[:before], n
		}
		n++
	}
	return body, n
}

// appendBulk appends the two lines of a document.
func appendBulk(dst []byte, index string, d document) []byte {
	dst = append(dst, `{"create":{"_index":`...)
	dst = event.AppendJSONString(dst, index)
	if d.id != "" {
		dst = append(dst, `,"_id":`...)
		dst = event.AppendJSONString(dst, d.id)
	}
	dst = append(dst, "}}\n"...)
	dst = payload(dst, d.event)
	return append(dst, '\n')
}

// bulk sends a bulk request of n documents and returns what became of each.
func (s *sender) bulk(ctx context.Context, body []byte, n int) ([]result, error) {
	res, err := esapi.BulkRequest{Body: bytes.NewReader(body), Pipeline: s.Pipeline}.Do(ctx, s.transport)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	if res.StatusCode/100 != 2 {
		return nil, newResult(res.StatusCode, res.Header, text).err()
	}
	return readBulk(text, n)
}

// readBulk reads the answer to a bulk request of n documents.
func readBulk(text []byte, n int) ([]result, error) {
	var answer struct {
		Items []map[string]result `json:"items"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, fmt.Errorf("read the answer to a bulk request: %w", err)
	}
	if len(answer.Items) != n {
		return nil, fmt.Errorf("the answer to a bulk request speaks of %d documents, not of %d", len(answer.Items), n)
	}
	results := make([]result, n)
	for i, item := range answer.Items {
		r, ok := item["create"]
		if !ok || r.Status == 0 {
			return nil, errors.New("the answer to a bulk request lacks the status of a document")
		}
		results[i] = r
	}
	return results, nil
}

// settle notes what became of the document. It appends to again the document to create
// once more, if that may help.
func (d document) settle(r result, again []document, failed outputs.Partial) []document {
	if r.created() {
		return again
	}
	if name := r.Error.field(); name != "" && r.Status == http.StatusBadRequest && !d.trimmed {
		if trimmed, ok := d.without(name); ok {
			return append(again, trimmed)
		}
	}
	failed[d.place] = r.err()
	return again
}

// result is what became of a document.
type result struct {
	Status int   `json:"status"`
	Error  fault `json:"error"`

	header http.Header
	body   []byte // of an answer that is about a request as a whole
}

// newResult reads an answer that is about a request as a whole.
func newResult(status int, header http.Header, body []byte) result {
	var answer struct {
		Error fault `json:"error"`
	}
	if status/100 != 2 {
		_ = json.Unmarshal(body, &answer) // the status says enough without it
	}
	return result{Status: status, Error: answer.Error, header: header, body: body}
}

// created reports whether the document is there. A conflict says that it was there before,
// from an attempt whose answer was lost.
func (r result) created() bool {
	return r.Status/100 == 2 || r.Status == http.StatusConflict && r.Error.conflict()
}

// err is the error of a document that was not created.
func (r result) err() error {
	said := r.body
	if r.Error.Reason != "" {
		said = []byte(r.Error.text())
	}
	err := httpx.StatusError(r.Status, r.header, said)
	if outputs.Rejected(err) && r.Error.ofCluster() {
		return outputs.Hold(errors.New(err.Error()))
	}
	return err
}
