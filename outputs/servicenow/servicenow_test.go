package servicenow

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"testing"
	"unicode/utf8"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

const password = "s3cretPassword"

// accept refuses what an instance refuses, of either API.
func accept(w http.ResponseWriter, r *http.Request, body []byte) {
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	refuse := func(status int, message, detail string) {
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error":{"message":%q,"detail":%q},"status":"failure"}`, message, detail)
	}
	_, given, basic := r.BasicAuth()
	if !(basic && given == password) && r.Header.Get("x-sn-apikey") != "key" && r.Header.Get("Authorization") != "Bearer token" {
		refuse(http.StatusUnauthorized, "User Not Authenticated", "Required to provide Auth information")
		return
	}
	var events struct{ Records []map[string]string }
	if json.Unmarshal(body, &events) == nil && events.Records != nil {
		for _, e := range events.Records {
			var info map[string]string
			if err := json.Unmarshal([]byte(e["additional_info"]), &info); err != nil || e["source"] == "" ||
				!regexp.MustCompile(`^[0-5]$`).MatchString(e["severity"]) ||
				!regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$`).MatchString(e["time_of_event"]) {
				refuse(http.StatusBadRequest, "Invalid event", fmt.Sprint(e))
				return
			}
		}
		fmt.Fprintf(w, `{"result":{"Default Bulk Endpoint":"%d events were inserted"}}`, len(events.Records))
		return
	}
	var record map[string]string
	if err := json.Unmarshal(body, &record); err != nil || record["short_description"] == "" {
		refuse(http.StatusBadRequest, "Exception while reading request", "Cannot decode")
		return
	}
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write([]byte(`{"result":{"number":"INC0010002","sys_id":"c537bae64f411200adf9f8e18110c76e"}}`))
}

func Test(t *testing.T) {
	const common = "hostport: URL/, user: saker, password: " + password
	outputstest.HTTP{
		Kind:   "servicenow",
		Config: "{" + common + "}",
		Secret: password,
		Answer: accept,
		Hollow: map[string]outputstest.Outcome{
			`<html>Your instance is hibernating</html>`: outputstest.NotNow,
			``: outputstest.NotNow,
			`{"error":{"message":"no","detail":"really"}}`: outputstest.Held,
			`{"result":{}}`: outputstest.Delivered,
		},
		Variants: map[string]string{
			"fields":        "{hostport: URL, token: token, table: sn_si_incident, fields: {assignment_group: soc, urgency: '3'}}",
			"events":        "{hostport: URL, apikey: key, api: events}",
			"events_fields": "{" + common + ", api: events, eventsource: Saker, fields: {metric_name: falco}}",
		},
		Wrong: map[string]string{
			"{user: a, password: b}":                            "hostport",
			"{hostport: URL}":                                   "user: one of user, token and apikey",
			"{" + common + ", token: t}":                        "user: one of user, token and apikey",
			"{hostport: example, user: a, password: b}":         "hostport",
			"{" + common + ", api: import}":                     "api",
			"{" + common + ", table: ../x}":                     `"../x" is no name of a table`,
			"{" + common + ", fields: {'Assignment Group': x}}": `"Assignment Group" is no name of a field`,
		},
	}.Run(t)
}

func TestAnEventIsRejectedOnlyForItsOwnFaults(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		want   outputstest.Outcome
	}{
		{400, `{"error":{"message":"Exception while reading request","detail":"Cannot decode"},"status":"failure"}`, outputstest.Rejected},
		{400, `{"error":{"message":"Invalid table x_incident","detail":null},"status":"failure"}`, outputstest.Held},
		{400, `{"error":{"message":"Requested URI does not represent any resource","detail":null},"status":"failure"}`, outputstest.Held},
		{401, `{"error":{"message":"User Not Authenticated"}}`, outputstest.Held},
		{403, `{"error":{"message":"Operation Failed","detail":"ACL Exception Insert Failed due to security constraints"}}`, outputstest.Held},
		{429, `{"error":{"message":"Rate limit exceeded"}}`, outputstest.NotNow},
	} {
		err := judge(c.status, http.Header{}, []byte(c.body))
		if got := outputstest.OutcomeOf(err); got != c.want {
			t.Errorf("%d %s is %q, want %q", c.status, c.body, got, c.want)
		}
	}
}

func TestOnlyEventManagementTakesBatches(t *testing.T) {
	for text, want := range map[string]int{
		"{hostport: 'http://h', user: u}":              1,
		"{hostport: 'http://h', user: u, api: events}": maxEvents,
	} {
		s, err := outputstest.New("servicenow", text, outputstest.Env(t))
		if err != nil {
			t.Fatal(err)
		}
		if got := s.(outputs.Limited).MaxBatch(); got != want {
			t.Errorf("%s: got %d, want %d", text, got, want)
		}
	}
}

func TestNoFieldIsOverTheLimits(t *testing.T) {
	big := outputstest.Plain()
	for i := range 300 {
		big.Fields = append(big.Fields, event.Field{Name: fmt.Sprintf("z%03d", i), Value: event.StringValue(fmt.Sprintf("%05000d", i))})
	}
	for _, f := range append(outputstest.Events(), outputstest.Fixture{Name: "big", Event: big}) {
		r := recordPayload(Config{}, f.Event)
		if utf8.RuneCountInString(r["short_description"]) > 160 || utf8.RuneCountInString(r["description"]) > 4000 {
			t.Errorf("%s: the record is too long", f.Name)
		}
		e := newRecord(Config{}, f.Event)
		var info map[string]string
		if err := json.Unmarshal([]byte(e.AdditionalInfo), &info); err != nil || info["uuid"] == "" || info["rule"] == "" {
			t.Errorf("%s: additional_info is %.200s (%v)", f.Name, e.AdditionalInfo, err)
		}
		size := 0
		for name, value := range info {
			size += len(name) + len(value)
		}
		if size > maxInfo || utf8.RuneCountInString(e.Type) > 100 || utf8.RuneCountInString(e.Description) > 4000 {
			t.Errorf("%s: the event is too long", f.Name)
		}
	}
}

func FuzzAccepted(f *testing.F) {
	f.Add([]byte(`{"result":{}}`))
	f.Add([]byte(`{"error":{"message":"a","detail":null}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if err := accepted(body); err == nil && !json.Valid(body) {
			t.Errorf("%q, which is no JSON, is success", body)
		}
	})
}
