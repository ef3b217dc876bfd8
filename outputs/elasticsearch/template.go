package elasticsearch

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/elastic/go-elasticsearch/v8/esapi"

	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

// templateName is the name of the index template, whatever the index is called.
const templateName = "falco"

// template remembers that the index template is there.
type template struct {
	// lock holds one element while somebody looks after the template, and forever once it
	// has been found or made.
	lock chan struct{}
	done chan struct{} // closed then
}

func newTemplate() template {
	return template{lock: make(chan struct{}, 1), done: make(chan struct{})}
}

// ensure makes the index template unless there is one. Its errors are never a rejection:
// no event is at fault.
func (t template) ensure(ctx context.Context, s *sender) error {
	select {
	case <-t.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case t.lock <- struct{}{}:
	}
	if err := s.makeTemplate(ctx); err != nil {
		<-t.lock
		return fmt.Errorf("create index template %q: %w", templateName, err)
	}
	close(t.done)
	return nil
}

func (s *sender) makeTemplate(ctx context.Context) error {
	found, err := esapi.IndicesGetIndexTemplateRequest{Name: templateName}.Do(ctx, s.transport)
	if err != nil {
		return err
	}
	switch {
	case found.StatusCode/100 == 2:
		return nil
	case found.StatusCode != http.StatusNotFound:
		return answerError(found)
	}
	body, err := templateBody(s.Config)
	if err != nil {
		return err
	}
	put := esapi.IndicesPutIndexTemplateRequest{Name: templateName, Body: bytes.NewReader(body)}
	made, err := put.Do(ctx, s.transport)
	if err != nil {
		return err
	}
	if made.StatusCode/100 != 2 {
		return answerError(made)
	}
	return nil
}

// answerError is httpx.StatusError for an answer that is about no event: what the cluster
// refuses, somebody has to mend.
func answerError(res *esapi.Response) error {
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	err = httpx.StatusError(res.StatusCode, res.Header, body)
	if outputs.Rejected(err) {
		return outputs.Hold(errors.New(err.Error()))
	}
	return err
}

// knownFields are the output fields, flattened, that the template maps.
//
//go:embed fields.txt
var knownFields string

type (
	object  map[string]any
	mapping map[string]object
)

// templateBody is the template that a golden file pins.
func templateBody(c Config) ([]byte, error) {
	pattern := c.Index + "-*"
	if c.Suffix == "none" || c.DataStream {
		pattern = c.Index
	}
	fields := mapping{}
	for name := range strings.FieldsSeq(knownFields) {
		fields[name] = text(256)
	}
	properties := mapping{
		"@timestamp": {"type": "date"}, "time": {"type": "date"},
		"output": text(2048), "output_fields": {"properties": fields},
	}
	for _, name := range []string{"hostname", "priority", "rule", "source", "tags", "uuid"} {
		properties[name] = text(256)
	}
	body := object{
		"index_patterns": []string{pattern},
		"template": object{
			"settings": object{"number_of_shards": orThree(c.NumberOfShards), "number_of_replicas": orThree(c.NumberOfReplicas)},
			"mappings": object{"properties": properties},
		},
	}
	if c.DataStream {
		// Over the priority of the templates for logs-*-* and so on that Elasticsearch has.
		body["data_stream"], body["priority"] = object{}, 200
	}
	return httpx.Encode(body)
}

// text maps a field that is searched by its words and, up to some length, as a whole.
func text(ignoreAbove int) object {
	return object{"type": "text", "fields": mapping{"keyword": {"type": "keyword", "ignore_above": ignoreAbove}}}
}

func orThree(n int) int {
	if n <= 0 {
		return 3
	}
	return n
}
