package pagerduty

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

const routingKey = "s3cretr0utingkey0123456789abcdef"

func Test(t *testing.T) {
	outputstest.HTTP{
		Kind:   "pagerduty",
		Config: "{apiurl: URL/, routingkey: " + routingKey + "}",
		Secret: routingKey,
		Wrong: map[string]string{
			"{apiurl: URL}": "routingkey",
			"{apiurl: events.example.com, routingkey: " + routingKey + "}": "apiurl",
		},
	}.Run(t)
}

func TestTheRegionChoosesTheEndpoint(t *testing.T) {
	for region, want := range map[string]string{
		"":   "https://events.pagerduty.com",
		"us": "https://events.pagerduty.com",
		"eu": "https://events.eu.pagerduty.com",
		"EU": "https://events.eu.pagerduty.com",
	} {
		if got := base(Config{Region: region}); got != want {
			t.Errorf("region %q: got %s, want %s", region, got, want)
		}
	}
}

// answering returns what Send makes of an answer.
func answering(t *testing.T, status int, body string) error {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	defer s.Close()
	sender, err := outputstest.New("pagerduty", "{apiurl: "+s.URL+", routingkey: "+routingKey+"}", outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	return sender.Send(t.Context(), []event.Event{outputstest.Plain()})
}

func TestAnEventIsRejectedOnlyForItsOwnFaults(t *testing.T) {
	for _, c := range []struct {
		name, body string
		want       outputstest.Outcome
	}{
		{"a bad event", `{"status":"invalid event","message":"Event object is invalid","errors":["'payload.severity' is invalid"]}`, outputstest.Rejected},
		{"an unknown key", `{"status":"invalid event","message":"Event object is invalid","errors":["Invalid routing key"]}`, outputstest.Held},
		{"a key of the wrong length", `{"errors":["Length of 'routing_key' is incorrect (should be 32 characters)"]}`, outputstest.Held},
	} {
		err := answering(t, http.StatusBadRequest, c.body)
		if got := outputstest.OutcomeOf(err); got != c.want {
			t.Errorf("%s is %q (%v), want %q", c.name, got, err, c.want)
		}
	}
}

func TestAKeyThatPagerDutyRepeatsDoesNotShow(t *testing.T) {
	err := answering(t, http.StatusForbidden, `{"errors":["no service has the key `+routingKey+`"]}`)
	if err == nil || !strings.Contains(err.Error(), "no service has the key [hidden]") {
		t.Errorf("got %v", err)
	}
}

func TestTheStatusDecidesWhateverTheAnswerHolds(t *testing.T) {
	for _, body := range []string{"", "accepted", `{"status":"success"}`, `["odd"]`} {
		if err := answering(t, http.StatusAccepted, body); err != nil {
			t.Errorf("202 with %q: %v", body, err)
		}
	}
}

// PagerDuty refuses an event that is over one of these limits.
func TestNoEventIsOverPagerDutysLimits(t *testing.T) {
	huge := outputstest.Plain()
	huge.Output = ""
	for i := range 200 {
		name := strings.Repeat("f", i+1)
		huge.Fields = append(huge.Fields, event.Field{Name: name, Value: event.StringValue(strings.Repeat("<", 40_000))})
	}
	huge.Fields = event.SortFields(huge.Fields)
	for _, f := range append(outputstest.Events(), outputstest.Fixture{Name: "huge", Event: huge}) {
		p := payload(f.Event)
		if n := len([]rune(p.Payload.Summary)); n == 0 || n > 1024 {
			t.Errorf("%s: the summary has %d characters", f.Name, n)
		}
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if len(text) > 512_000-64 {
			t.Errorf("%s: the event has %d bytes", f.Name, len(text))
		}
	}
}

func TestAnOutputTooLongForTheSummaryStandsInTheDetails(t *testing.T) {
	e := outputstest.Plain()
	e.Output = strings.Repeat("x", 1025)
	p := payload(e)
	details, ok := p.Payload.Details.(map[string]event.Value)
	if !ok || details["output"] != event.StringValue(e.Output) {
		t.Errorf("the details have the output %v", details["output"])
	}
	if p.Payload.Summary != strings.Repeat("x", 1023)+"…" {
		t.Errorf("the summary %q is not the cut output", p.Payload.Summary)
	}
}
