package incidentio

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/httpx"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

const token = "s3cret-source-token"

// accept refuses what incident.io refuses.
func accept(w http.ResponseWriter, r *http.Request, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	refuse := func(status int, kind, text string) {
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"type":%q,"status":%d,"request_id":"a","errors":[{"code":"invalid","message":%q}]}`, kind, status, text)
	}
	var a struct {
		Title            string
		Status           string
		DeduplicationKey string `json:"deduplication_key"`
		Metadata         map[string]any
	}
	switch err := json.Unmarshal(body, &a); {
	case r.Header.Get("Authorization") != "Bearer "+token:
		refuse(http.StatusUnauthorized, "authentication_error", "invalid token")
	case err != nil || a.Title == "" || a.Metadata == nil:
		refuse(http.StatusUnprocessableEntity, "validation_error", "title must be set")
	case a.Status != "firing" && a.Status != "resolved":
		refuse(http.StatusUnprocessableEntity, "validation_error", "status must be firing or resolved")
	default:
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprintf(w, `{"deduplication_key":%q,"message":"Event accepted for processing","status":"success"}`, a.DeduplicationKey)
	}
}

func Test(t *testing.T) {
	const common = "apiurl: URL/, sourceid: 01GW2G3V0S59R238FAHPDS1R66, token: " + token
	outputstest.HTTP{
		Kind:   "incidentio",
		Config: "{" + common + "}",
		Secret: token,
		Answer: accept,
		Hollow: map[string]outputstest.Outcome{
			`<html>log in</html>`:  outputstest.Held,
			``:                     outputstest.Held,
			`{"status":"success"}`: outputstest.Delivered,
		},
		Variants: map[string]string{
			"metadata": "{" + common + ", sourceurl: 'https://example.com/events', metadata: {team: soc, rule: mine}}",
		},
		Wrong: map[string]string{
			"{sourceid: a}":                        "token",
			"{token: a}":                           "sourceid",
			"{token: a, sourceid: 'a/b'}":          "sourceid: must be the id of an alert source",
			"{" + common + ", sourceurl: example}": "sourceurl",
			"{token: a, sourceid: a, apiurl: h}":   "apiurl",
		},
	}.Run(t)
}

func TestNoAlertIsTooLarge(t *testing.T) {
	huge := outputstest.Plain()
	for i := range 500 {
		huge.Fields = append(huge.Fields, event.Field{Name: fmt.Sprintf("z%03d", i), Value: event.StringValue(strings.Repeat("<", 8000))})
	}
	for _, f := range append(outputstest.Events(), outputstest.Fixture{Name: "huge", Event: huge}) {
		a := payload(Config{}, f.Event)
		body, err := httpx.Encode(a)
		if err != nil || len(body) > 128<<10 || utf8.RuneCountInString(a.Title) > maxTitle {
			t.Errorf("%s: the alert has %d bytes, the title %d (%v)", f.Name, len(body), utf8.RuneCountInString(a.Title), err)
		}
		if a.Metadata["rule"] == (event.Value{}) || a.Metadata["priority"] == (event.Value{}) {
			t.Errorf("%s: rule or priority are missing", f.Name)
		}
	}
}
