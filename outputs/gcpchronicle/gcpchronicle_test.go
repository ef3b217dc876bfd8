package gcpchronicle

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/gcpx/gcpxtest"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func Test(t *testing.T) {
	account := gcpxtest.New(t)
	with := func(more string) string {
		return "{region: us, projectid: p-1, instanceid: 0f1a-2b, endpoint: URL, credentials: " + account.Credentials + more + "}"
	}
	outputstest.HTTP{
		Kind:   "gcpchronicle",
		Config: with(""),
		Secret: account.Secret,
		Answer: instance,
		Clean: func(text string) string {
			return collected.ReplaceAllString(gcpxtest.Clean(text), `"collectionTime":"NOW"`)
		},
		Variants: map[string]string{"logtype": with(", logtype: FALCO_CUSTOM")},
		Hollow:   map[string]outputstest.Outcome{"<html>sign in</html>": outputstest.NotNow},
		Wrong: map[string]string{
			"{}":                          "region",
			"{region: us, instanceid: i}": "projectid",
			"{region: us, projectid: p}":  "instanceid",
			"{region: us.evil.example/, projectid: p, instanceid: i}":                 "region",
			"{region: us, projectid: ../p, instanceid: i}":                            "projectid",
			"{region: us, projectid: p, instanceid: 'a b'}":                           "instanceid",
			"{region: us, projectid: p, instanceid: i, logtype: A/B}":                 "logtype",
			"{region: us, projectid: p, instanceid: i, endpoint: 'https://h?s3cret'}": "without a query",
		},
	}.Run(t)
}

var collected = regexp.MustCompile(`"collectionTime":"[^"]*"`)

type imported struct {
	InlineSource struct {
		Logs []struct {
			Data           []byte    `json:"data"`
			LogEntryTime   time.Time `json:"logEntryTime"`
			CollectionTime time.Time `json:"collectionTime"`
		} `json:"logs"`
	} `json:"inlineSource"`
}

// instance answers as the service does, and refuses what it refuses.
func instance(w http.ResponseWriter, r *http.Request, body []byte) {
	refuse := func(status int, code, message string) {
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error":{"code":%d,"message":%q,"status":%q}}`, status, message, code)
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	var got imported
	decoder := json.NewDecoder(strings.NewReader(string(body)))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&got)
	path := regexp.MustCompile(`^/v1beta/projects/p-1/locations/us/instances/0f1a-2b/logTypes/FALCO_(IDS|CUSTOM)/logs:import$|^/elsewhere$`)
	switch {
	case !gcpxtest.Check(r):
		refuse(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
		return
	case r.Method != http.MethodPost || !path.MatchString(r.URL.Path):
		refuse(404, "NOT_FOUND", "Requested entity was not found.")
		return
	case err != nil || len(got.InlineSource.Logs) == 0 || len(body) > 4_000_000:
		refuse(400, "INVALID_ARGUMENT", "Request contains an invalid argument.")
		return
	}
	for _, log := range got.InlineSource.Logs {
		if _, err := event.Decode(log.Data); err != nil || log.CollectionTime.Before(log.LogEntryTime) {
			refuse(400, "INVALID_ARGUMENT", "collection_time must be after log_entry_time")
			return
		}
	}
	_, _ = io.WriteString(w, "{}\n")
}

func TestALogIsCollectedAfterItWasWritten(t *testing.T) {
	e := outputstest.Plain()
	for offset, want := range map[time.Duration]time.Duration{
		time.Hour: time.Hour, 0: time.Second, -time.Hour: time.Second,
	} {
		body, _ := request([]event.Event{e}, 0, e.Time.Add(offset))
		var got imported
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatal(err)
		}
		log := got.InlineSource.Logs[0]
		if d := log.CollectionTime.Sub(log.LogEntryTime); d != want {
			t.Errorf("at %v it is collected %v after it was written, want %v", offset, d, want)
		}
	}
}

func TestABatchThatIsTooLargeGoesInSeveralRequests(t *testing.T) {
	big := outputstest.Plain()
	big.Output = strings.Repeat("x", 600<<10)
	batch := []event.Event{big, big, big, big, big, big, big, big}
	var places []int
	for from := 0; from < len(batch); {
		body, to := request(batch, from, time.Now())
		if len(body) > 4_000_000 {
			t.Errorf("a request has %d bytes", len(body))
		}
		places = append(places, to)
		from = to
	}
	if fmt.Sprint(places) != "[3 6 8]" {
		t.Errorf("the requests end at %v", places)
	}
}
