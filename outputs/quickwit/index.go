package quickwit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

// index remembers that the index is there.
type index struct {
	// lock holds one element while somebody looks after the index, and forever once it has
	// been found or made.
	lock chan struct{}
	done chan struct{} // closed then
}

func newIndex() *index {
	return &index{lock: make(chan struct{}, 1), done: make(chan struct{})}
}

// ensure creates the index unless there is one. Its errors are never a rejection: no event
// is at fault.
func (x *index) ensure(ctx context.Context, s *sender) error {
	select {
	case <-x.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case x.lock <- struct{}{}:
	}
	if err := s.createIndex(ctx); err != nil {
		<-x.lock
		if outputs.Rejected(err) {
			return outputs.Hold(fmt.Errorf("create index %q: %v", s.Index, err)) //nolint:errorlint // it must not be a rejection any more
		}
		return fmt.Errorf("create index %q: %w", s.Index, err)
	}
	close(x.done)
	return nil
}

func (s *sender) createIndex(ctx context.Context) error {
	_, err := httpx.Do(ctx, s.http, http.MethodGet, s.address("indexes/"+url.PathEscape(s.Index)+"/describe"), nil, s.header())
	if err == nil {
		return nil
	}
	if status, _, ok := httpx.Answer(err); !ok || status != http.StatusNotFound {
		return err
	}
	body, err := httpx.Encode(newIndexConfig(s.Config))
	if err != nil {
		return err
	}
	_, err = httpx.Do(ctx, s.http, http.MethodPost, s.address("indexes"), body, s.header())
	status, said, _ := httpx.Answer(err)
	if status == http.StatusBadRequest && bytes.Contains(said, []byte("already exist")) {
		return nil // somebody else has made it in the meantime
	}
	if status == http.StatusNotFound {
		return outputs.Hold(errors.New(err.Error()))
	}
	return err
}

// indexConfig is what Quickwit creates an index of.
type indexConfig struct {
	ID             string         `json:"index_id"`
	Version        string         `json:"version"`
	SearchSettings searchSettings `json:"search_settings"`
	DocMapping     docMapping     `json:"doc_mapping"`
}

type searchSettings struct {
	DefaultSearchFields []string `json:"default_search_fields"`
}

type docMapping struct {
	DynamicMapping dynamicMapping `json:"dynamic_mapping"`
	FieldMappings  []fieldMapping `json:"field_mappings"`
	Mode           string         `json:"mode"`
	StoreSource    bool           `json:"store_source"`
	TimestampField string         `json:"timestamp_field"`
}

type dynamicMapping struct {
	Description string `json:"description"`
	Fast        bool   `json:"fast"`
	ExpandDots  bool   `json:"expand_dots"`
	Indexed     bool   `json:"indexed"`
	Record      string `json:"record"`
	Stored      bool   `json:"stored"`
	Tokenizer   string `json:"tokenizer"`
}

type fieldMapping struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Fast bool   `json:"fast"`
}

// newIndexConfig is the configuration that the golden file "create" pins.
func newIndexConfig(c Config) indexConfig {
	return indexConfig{
		ID:             c.Index,
		Version:        c.Version,
		SearchSettings: searchSettings{[]string{"rule", "source", "output", "priority", "hostname", "tags"}},
		DocMapping: docMapping{
			DynamicMapping: dynamicMapping{
				Description: "Falco", Fast: true, ExpandDots: true, Indexed: true, Record: "basic", Stored: true, Tokenizer: "raw",
			},
			FieldMappings: []fieldMapping{
				{"time", "datetime", true},
				{"uuid", "text", true},
				{"hostname", "text", true},
				{"priority", "text", true},
				{"source", "text", true},
				{"output", "text", false},
				{"rule", "text", true},
				{"tags", "array<text>", true},
				{"output_fields", "json", true},
			},
			Mode:           "dynamic",
			StoreSource:    true,
			TimestampField: "time",
		},
	}
}
