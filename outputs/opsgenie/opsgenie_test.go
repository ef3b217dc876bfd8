package opsgenie

import (
	"strings"
	"testing"

	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func Test(t *testing.T) {
	outputstest.HTTP{
		Kind:   "opsgenie",
		Config: "{apiurl: URL/, apikey: s3cret-key}",
		Secret: "s3cret-key",
		Wrong: map[string]string{
			"{apiurl: URL}": "apikey",
			"{apiurl: api.example.com, apikey: s3cret-key}": "apiurl",
		},
	}.Run(t)
}

func TestTheRegionChoosesTheEndpoint(t *testing.T) {
	for region, want := range map[string]string{
		"":   "https://api.opsgenie.com/v2/alerts",
		"us": "https://api.opsgenie.com/v2/alerts",
		"eu": "https://api.eu.opsgenie.com/v2/alerts",
		"EU": "https://api.eu.opsgenie.com/v2/alerts",
		"uk": "https://api.opsgenie.com/v2/alerts",
	} {
		if got := address(Config{Region: region}); got != want {
			t.Errorf("region %q: got %s, want %s", region, got, want)
		}
	}
}

// Opsgenie refuses an alert that is over one of these limits.
func TestNoAlertIsOverOpsgeniesLimits(t *testing.T) {
	for _, f := range outputstest.Events() {
		a := payload(f.Event)
		if n := len([]rune(a.Message)); n == 0 || n > 130 {
			t.Errorf("%s: the message has %d characters", f.Name, n)
		}
		var details int
		for name, value := range a.Details {
			details += len([]rune(name)) + len([]rune(value))
		}
		if details > 8000 {
			t.Errorf("%s: the details have %d characters", f.Name, details)
		}
		if a.Details["rule"] == "" || a.Details["priority"] == "" {
			t.Errorf("%s: the details lack rule or priority", f.Name)
		}
	}
}

func TestAnOutputTooLongForTheMessageStandsInTheDetails(t *testing.T) {
	e := outputstest.Plain()
	e.Output = strings.Repeat("x", 131)
	a := payload(e)
	if a.Details["output"] != e.Output {
		t.Errorf("details have the output %q, want %q", a.Details["output"], e.Output)
	}
	if !strings.HasPrefix(a.Message, strings.Repeat("x", 129)+"…") {
		t.Errorf("the message %q is not the cut output", a.Message)
	}
}
