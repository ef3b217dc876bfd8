package sumologic

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func Test(t *testing.T) {
	outputstest.HTTP{
		Kind:   "sumologic",
		Config: "{receiverurl: URL/receiver/v1/http/s3cretToken==}",
		Secret: "s3cretToken==",
		Variants: map[string]string{
			"metadata": "{receiverurl: URL/receiver, sourcecategory: prod/falco, sourcehost: cluster, name: falco, enablecompression: false}",
		},
		Wrong: map[string]string{
			"{}":                                         "receiverurl",
			"{receiverurl: s3cretToken==}":               "receiverurl: must be a URL",
			`{receiverurl: URL, name: "a\nb"}`:           "name",
			`{receiverurl: URL, sourcehost: "a\rb"}`:     "sourcehost",
			`{receiverurl: URL, sourcecategory: "a\0b"}`: "sourcecategory",
		},
	}.Run(t)
}

func TestALargeBatchIsSeveralPostsOfWholeLines(t *testing.T) {
	outputstest.NoLeak(t)
	var lines, posts int
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || len(body) > maxBody {
			t.Errorf("a post of %d bytes (%v)", len(body), err)
		}
		posts++
		for line := range bytes.Lines(body) {
			lines++
			if !json.Valid(line) {
				t.Error("a line is not an event")
			}
		}
	}))
	t.Cleanup(server.Close)
	s, err := outputstest.New("sumologic", "{enablecompression: false, receiverurl: "+server.URL+"}", outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	batch := make([]event.Event, 9)
	for i := range batch {
		batch[i] = outputstest.Plain()
		batch[i].Output = strings.Repeat("x", 300_000)
	}
	if err := s.Send(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if lines != 9 || posts != 3 {
		t.Errorf("%d events arrived in %d posts, want 9 in 3", lines, posts)
	}
	if err := s.(io.Closer).Close(); err != nil {
		t.Error(err)
	}
}
