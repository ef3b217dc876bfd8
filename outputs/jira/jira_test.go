package jira

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

const apiToken = "ATATTs3cret0123456789"

// checkDocument reports what the Atlassian Document Format does not allow, of the nodes
// that are in use.
func checkDocument(n node) error {
	children := map[string][]string{
		"doc": {"codeBlock", "bulletList"}, "bulletList": {"listItem"}, "listItem": {"paragraph"},
		"paragraph": {"text"}, "codeBlock": {"text"},
	}[n.Type]
	switch {
	case n.Type == "text" && n.Text == "":
		return fmt.Errorf("a text is empty")
	case n.Type == "text" && strings.ContainsRune(n.Text, 0):
		return fmt.Errorf("a text has NUL")
	case n.Type != "text" && len(n.Content) == 0:
		return fmt.Errorf("a %s is empty", n.Type)
	}
	for _, c := range n.Content {
		if !slices.Contains(children, c.Type) {
			return fmt.Errorf("a %s is in a %s", c.Type, n.Type)
		}
		if n.Type == "codeBlock" && c.Marks != nil {
			return fmt.Errorf("code is marked")
		}
		if err := checkDocument(c); err != nil {
			return err
		}
	}
	return nil
}

// accept refuses what Jira refuses.
func accept(w http.ResponseWriter, r *http.Request, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	refuse := func(field, text string) {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"errorMessages":[],"errors":{%q:%q}}`, field, text)
	}
	if _, password, _ := r.BasicAuth(); password != apiToken && r.Header.Get("Authorization") != "Bearer pat" {
		http.Error(w, "Client must be authenticated to access this resource.", http.StatusUnauthorized)
		return
	}
	var i struct {
		Fields struct {
			Project     keyed           `json:"project"`
			IssueType   named           `json:"issuetype"`
			Summary     string          `json:"summary"`
			Description json.RawMessage `json:"description"`
			Labels      []string        `json:"labels"`
		} `json:"fields"`
	}
	var doc node
	var plain string
	err := json.Unmarshal(body, &i)
	f := i.Fields
	switch {
	case err != nil:
		refuse("payload", err.Error())
	case f.Project.Key != "SEC":
		refuse("project", "valid project is required")
	case f.IssueType.Name == "":
		refuse("issuetype", "Specify an issue type")
	case f.Summary == "" || utf8.RuneCountInString(f.Summary) > 255 || strings.ContainsAny(f.Summary, "\r\n"):
		refuse("summary", "The summary is invalid because it contains newline characters or is too long.")
	case slices.ContainsFunc(f.Labels, func(s string) bool { return strings.ContainsAny(s, " \n\t") || s == "" }):
		refuse("labels", "The label can't contain spaces.")
	case json.Unmarshal(f.Description, &plain) == nil && utf8.RuneCountInString(plain) > 32767:
		refuse("description", "The entered text is too long. It exceeds the allowed limit of 32,767 characters.")
	case plain == "" && (json.Unmarshal(f.Description, &doc) != nil || doc.Type != "doc" || doc.Version != 1 || checkDocument(doc) != nil):
		refuse("description", "Operation value must be an Atlassian Document (see the Atlassian Document Format)")
	default:
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(`{"id":"10000","key":"SEC-24","self":"https://example.atlassian.net/rest/api/3/issue/10000"}`))
	}
}

func Test(t *testing.T) {
	const common = "hostport: URL/, project: SEC, user: me@example.com, apitoken: " + apiToken
	outputstest.HTTP{
		Kind:   "jira",
		Config: "{" + common + "}",
		Secret: apiToken,
		Answer: accept,
		Hollow: map[string]outputstest.Outcome{
			`<html>log in</html>`: outputstest.Held,
			`{}`:                  outputstest.Held,
			`{"key":"SEC-1"}`:     outputstest.Delivered,
		},
		Variants: map[string]string{
			"datacenter": "{hostport: URL/jira, project: SEC, token: pat, apiversion: 2, labels: [], issuetype: Bug}",
			"options": "{" + common + ", labels: [falco, 'runtime security', falco], taglabels: true, priorities: {critical: High, error: Medium}," +
				" fields: {duedate: '2030-01-01', customfield_1: '{\"value\": \"prod\"}', customfield_2: '[1]', customfield_3: '{not json'}}",
		},
		Wrong: map[string]string{
			"{" + common + ", token: t}":                       "user: either user and apitoken must be set or token",
			"{hostport: URL, project: SEC}":                    "user: either user and apitoken must be set or token",
			"{hostport: URL, project: SEC, user: me}":          "user and apitoken go together",
			"{project: SEC, token: t}":                         "hostport",
			"{hostport: example, project: SEC, token: t}":      "hostport",
			"{hostport: URL, token: t}":                        "project",
			"{hostport: URL, token: t, project: 'my project'}": `"my project" is no key of a project`,
			"{" + common + ", issuetype: ''}":                  "issuetype",
			"{" + common + ", apiversion: 1}":                  "apiversion",
			"{" + common + ", priorities: {huge: High}}":       "priorities",
			"{" + common + ", fields: {'Due Date': x}}":        `"Due Date" is no id of a field`,
		},
	}.Run(t)
}

func TestAnEventIsRejectedOnlyForItsOwnFaults(t *testing.T) {
	for body, want := range map[string]outputstest.Outcome{
		`{"errorMessages":[],"errors":{"summary":"too long"}}`:                              outputstest.Rejected,
		`{"errorMessages":[],"errors":{"description":"too long"}}`:                          outputstest.Rejected,
		`{"errorMessages":["bad payload"],"errors":{}}`:                                     outputstest.Rejected,
		`{"errorMessages":[],"errors":{"project":"valid project is required"}}`:             outputstest.Held,
		`{"errorMessages":[],"errors":{"summary":"x","priority":"Priority cannot be set"}}`: outputstest.Held,
	} {
		err := judge(http.StatusBadRequest, http.Header{}, []byte(body))
		if got := outputstest.OutcomeOf(err); got != want {
			t.Errorf("%s is %q, want %q", body, got, want)
		}
	}
}

func TestNoDescriptionIsOverTheLimit(t *testing.T) {
	big := outputstest.Plain()
	big.Output = strings.Repeat("{noformat}", 5_000)
	for i := range 1000 {
		big.Fields = append(big.Fields, event.Field{Name: fmt.Sprintf("z%03d", i), Value: event.StringValue(strings.Repeat("y", i))})
	}
	for _, f := range append(outputstest.Events(), outputstest.Fixture{Name: "big", Event: big}) {
		doc := description(f.Event)
		if err := checkDocument(doc); err != nil {
			t.Errorf("%s: %v", f.Name, err)
		}
		plain := plainDescription(f.Event)
		if n := utf8.RuneCountInString(plain); n > maxDescription || strings.Count(plain, "{noformat}") != 2 {
			t.Errorf("%s: the plain description has %d characters", f.Name, n)
		}
		if n := length(doc); n > maxRoom+maxSummary {
			t.Errorf("%s: the texts have %d characters", f.Name, n)
		}
	}
}

func length(n node) int {
	sum := utf8.RuneCountInString(n.Text)
	for _, c := range n.Content {
		sum += length(c)
	}
	return sum
}

func TestFieldsThatAreJSONAreSentAsSuch(t *testing.T) {
	for text, want := range map[string]any{
		`{"value": "a"}`: json.RawMessage(`{"value": "a"}`),
		" [1, 2]\n":      json.RawMessage(`[1, 2]`),
		`{"value": `:     `{"value": `,
		`12`:             `12`,
		``:               ``,
	} {
		if diff := cmp.Diff(want, fieldValue(text)); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
}

func FuzzJudge(f *testing.F) {
	f.Add([]byte(`{"errorMessages":[],"errors":{"summary":"too long"}}`))
	f.Add([]byte(`{"key":"SEC-1"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		err := judge(http.StatusBadRequest, http.Header{}, body)
		if got := outputstest.OutcomeOf(err); got != outputstest.Rejected && (got != outputstest.Held || !json.Valid(body)) {
			t.Errorf("%q is %q", body, got)
		}
	})
}
