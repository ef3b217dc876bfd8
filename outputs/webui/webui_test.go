package webui_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	dto "github.com/prometheus/client_model/go"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/outputstest"
	_ "github.com/saker-security/saker/outputs/webui"
)

func Test(t *testing.T) {
	outputstest.HTTP{
		Kind:   "webui",
		Config: "{url: 'URL/s3cret1?token=s3cret2'}",
		Secret: "s3cret1 s3cret2",
		Answer: ui,
		Variants: map[string]string{
			"root": "{url: URL, checkcert: false}",
		},
		Wrong: map[string]string{
			"{}":                           "url",
			"{url: falcosidekick-ui:2802}": "must be a URL",
			"{url: 'ftp://ui/s3cret1'}":    "http:// or https://",
			"{url: URL, mutualtls: maybe}": "mutualtls",
		},
	}.Run(t)
}

// ui answers as Falcosidekick UI does.
func ui(w http.ResponseWriter, r *http.Request, body []byte) {
	var got struct {
		Event   json.RawMessage `json:"event"`
		Outputs *[]string       `json:"outputs"`
	}
	if err := json.Unmarshal(body, &got); err != nil || r.Method != http.MethodPost || got.Outputs == nil {
		http.Error(w, "the payload is not an event", http.StatusInternalServerError)
		return
	}
	if _, err := event.Decode(got.Event); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = io.WriteString(w, `"{}"`+"\n")
}

type host []string

func (h host) Outputs() []string                    { return h }
func (h host) Gather() ([]*dto.MetricFamily, error) { return nil, nil }

func TestThePageLearnsWhichOutputsAreConfigured(t *testing.T) {
	outputstest.NoLeak(t)
	var body []byte
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	env := outputstest.Env(t)
	env.Host = host{"Slack", "WebUI"}
	s, err := outputstest.New("webui", "{url: '"+server.URL+"'}", env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.(io.Closer).Close(); err != nil { //nolint:forcetypeassert // a sender over HTTP is one
			t.Error(err)
		}
	})
	e := outputstest.Plain()
	if err := s.Send(t.Context(), []event.Event{e}); err != nil {
		t.Fatal(err)
	}
	want := `{"event":` + string(e.AppendJSON(nil)) + `,"outputs":["Slack","WebUI"]}` + "\n"
	if string(body) != want {
		t.Errorf("got  %s\nwant %s", body, want)
	}
}
