package awssns

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/awsx/awstest"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

const topic = "arn:aws:sns:eu-west-1:123456789012:falco"

var (
	allowedName = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)
	notXML      = regexp.MustCompile("[\x00-\x08\x0b\x0c\x0e-\x1f\uFFFE\uFFFF]")
)

// published reads the message whose members of the form begin with prefix, or says what SNS
// would have against it.
func published(form url.Values, prefix string) (attributes map[string]string, size int, wrong string) {
	text := form.Get(prefix + "Message")
	size = len(text)
	switch {
	case text == "":
		return nil, 0, "Invalid parameter: Empty message"
	case notXML.MatchString(text) || !utf8.ValidString(text):
		return nil, 0, "Invalid parameter: Message Reason: Invalid character"
	}
	attributes = map[string]string{}
	for i := 1; ; i++ {
		at := prefix + "MessageAttributes.entry." + strconv.Itoa(i) + "."
		name := form.Get(at + "Name")
		if name == "" {
			return attributes, size, ""
		}
		kind, value := form.Get(at+"Value.DataType"), form.Get(at+"Value.StringValue")
		if _, err := strconv.ParseFloat(value, 64); kind == "Number" && err != nil || kind != "Number" && kind != "String" ||
			value == "" || notXML.MatchString(value) || !allowedName.MatchString(name) || len(name) > 256 {
			return nil, 0, fmt.Sprintf("ParameterValueInvalid: attribute %q of type %q with %q", name, kind, value)
		}
		attributes[name] = kind + ":" + value
		size += len(name) + len(kind) + len(value)
	}
}

// answer is what SNS answers. It refuses what SNS refuses.
func answer(w http.ResponseWriter, r *http.Request, body []byte) {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		awstest.FaultXML(w, 400, "MalformedQueryString", err.Error())
		return
	}
	action, prefixes := form.Get("Action"), []string{""}
	if action == "PublishBatch" {
		prefixes = nil
		for i := 1; form.Has(fmt.Sprintf("PublishBatchRequestEntries.member.%d.Id", i)); i++ {
			prefixes = append(prefixes, fmt.Sprintf("PublishBatchRequestEntries.member.%d.", i))
		}
	}
	total, members := 0, ""
	for _, p := range prefixes {
		_, size, wrong := published(form, p)
		if wrong == "" && strings.HasSuffix(form.Get("TopicArn"), ".fifo") && (form.Get(p+"MessageGroupId") == "" || form.Get(p+"MessageDeduplicationId") == "") {
			wrong = "Invalid parameter: The MessageGroupId parameter is required for FIFO topics"
		}
		if wrong != "" {
			awstest.FaultXML(w, 400, "InvalidParameter", wrong)
			return
		}
		total += size
		members += "<member><Id>" + form.Get(p+"Id") + "</Id><MessageId>m</MessageId></member>"
	}
	if total > 256<<10 || len(prefixes) > 10 || len(prefixes) == 0 {
		awstest.FaultXML(w, 400, "BatchRequestTooLong", "The length of all the messages put together is more than the limit.")
		return
	}
	if action == "PublishBatch" {
		_, _ = io.WriteString(w, batchAnswer(members, ""))
		return
	}
	_, _ = io.WriteString(w, `<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult><MessageId>m</MessageId></PublishResult></PublishResponse>`)
}

func batchAnswer(successful, failed string) string {
	return `<PublishBatchResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishBatchResult><Successful>` + successful +
		`</Successful><Failed>` + failed + `</Failed></PublishBatchResult></PublishBatchResponse>`
}

func Test(t *testing.T) {
	awstest.Isolate(t)
	const common = "endpointurl: URL, " + awstest.Access
	outputstest.HTTP{
		Kind:   "awssns",
		Config: "{" + common + ", topicarn: '" + topic + "'}",
		Secret: awstest.Secret,
		Variants: map[string]string{
			"rawjson": "{" + common + ", topicarn: '" + topic + "', rawjson: true}",
			"fifo":    "{" + common + ", topicarn: '" + topic + ".fifo', messagegroupid: hosts}",
		},
		Wrong: map[string]string{
			"{}":                "topicarn: is required",
			"{topicarn: falco}": "topicarn: must be the ARN",
			"{topicarn: '" + topic + "', secretaccesskey: A}": "accesskeyid: is required with secretaccesskey",
			"{topicarn: '" + topic + "', messagegroupid: ''}": "messagegroupid: must be 1 to 128",
		},
		Answer:      answer,
		Clean:       awstest.Clean,
		NoRedirects: true,
	}.Run(t)
}

// serve starts a fake that answers as SNS does, and a sender for it.
func serve(t *testing.T, extra string) (*awstest.Fake, func(...event.Event) error) {
	t.Helper()
	f := awstest.Serve(t)
	f.Answer(func(w http.ResponseWriter, c awstest.Call) { answer(w, c.Request, []byte(c.Body)) })
	sender := awstest.Open(t, "awssns", "{"+awstest.Access+", topicarn: '"+topic+"'"+extra+"}")
	return f, func(batch ...event.Event) error { return sender.Send(t.Context(), batch) }
}

func TestAttributesAreWhatSNSTakes(t *testing.T) {
	f, send := serve(t, "")
	fields := `{"priority":"mine","proc.aname[2]":"bash","evt.arg[a b]":"x","aws.region":"r","..":"dots","a..b.":"y","null":null,
		"bool":true,"list":[1],"empty":"","tiny":1e-200,"huge":1e300,"long":12345678901234567890123456789012345678901,"ok":-1.5e3,"nul":"\u0000",
		"` + strings.Repeat("n", 300) + `":"long name"}`
	e, err := event.Decode([]byte(`{"output":"bell\u0007 \ufffe","priority":"Error","rule":"R","time":"2026-01-02T03:04:05Z","source":"syscall","hostname":"h","output_fields":` + fields + `}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := send(e); err != nil {
		t.Fatal(err)
	}
	form, err := url.ParseQuery(f.Take()[0].Body)
	if err != nil {
		t.Fatal(err)
	}
	got, _, wrong := published(form, "")
	want := map[string]string{
		"priority": "String:mine", "rule": "String:R", "source": "String:syscall", "hostname": "String:h",
		"proc.aname.2": "String:bash", "evt.arg.a_b": "String:x", "_aws.region": "String:r", "a.b": "String:y",
		"tiny": "String:1e-200", "huge": "String:1e300", "long": "String:12345678901234567890123456789012345678901",
		"ok": "Number:-1.5e3", "nul": "String:\uFFFD", strings.Repeat("n", 256): "String:long name",
	}
	if wrong != "" || fmt.Sprint(got) != fmt.Sprint(want) || form.Get("Message") != "bell\uFFFD \uFFFD" {
		t.Errorf("got %v (%s) and the message %q, want %v", got, wrong, form.Get("Message"), want)
	}
}

func TestAMessageStaysBelowTheLimit(t *testing.T) {
	e := outputstest.Plain()
	e.Output = strings.Repeat("é", 200<<10)
	for i := range 100 {
		e.Fields = append(e.Fields, event.Field{Name: "f" + strconv.Itoa(i), Value: event.StringValue(strings.Repeat("v", 2000))})
	}
	m := payload(Config{TopicARN: topic}, e)
	size := len(m.text)
	for name, a := range m.attributes {
		size += len(name) + len(*a.DataType) + len(*a.StringValue)
	}
	if size != m.size || size > maxBytes || size < maxBytes*3/4 || !utf8.ValidString(m.text) {
		t.Errorf("got a message of %d bytes that is taken for %d", size, m.size)
	}
}

func TestALargeBatchIsSentInRequestsThatSNSTakes(t *testing.T) {
	f, send := serve(t, ", rawjson: true")
	batch := awstest.Several(6)
	batch[1].Output = strings.Repeat("x", 200<<10)
	batch[2].Output = strings.Repeat("x", 100<<10)
	if err := send(batch...); err != nil {
		t.Fatal(err)
	}
	var got []int
	for _, c := range f.Take() {
		got = append(got, strings.Count(c.Body, ".Id="))
	}
	if want := []int{2, 4}; !slices.Equal(got, want) {
		t.Errorf("got requests of %v events, want %v", got, want)
	}
}

func TestEachEventOfABatchHasItsOwnOutcome(t *testing.T) {
	f, send := serve(t, "")
	entry := func(id, code string, sender bool) string {
		return fmt.Sprintf("<member><Id>%s</Id><Code>%s</Code><Message>of course</Message><SenderFault>%t</SenderFault></member>", id, code, sender)
	}
	f.Answer(func(w http.ResponseWriter, _ awstest.Call) {
		_, _ = io.WriteString(w, batchAnswer("<member><Id>0</Id><MessageId>m</MessageId></member>",
			entry("1", "InvalidParameter", true)+entry("2", "InternalError", false)+entry("3", "KMSDisabled", true)+entry("88", "InternalError", false)))
	})
	want := []outputstest.Outcome{outputstest.Delivered, outputstest.Rejected, outputstest.NotNow, outputstest.Held, outputstest.NotNow}
	err := send(awstest.Several(5)...)
	if got := awstest.Each(err, 5); !slices.Equal(got, want) {
		t.Errorf("got %q (%v), want %q", got, err, want)
	}
}

func TestEachFaultHasItsOutcome(t *testing.T) {
	f, send := serve(t, "")
	for _, c := range []struct {
		status        int
		code, message string
		want          outputstest.Outcome
	}{
		{404, "NotFound", "Topic does not exist", outputstest.Held},
		{400, "InvalidParameter", "Invalid parameter: TopicArn", outputstest.Held},
		{400, "InvalidParameter", "Invalid parameter: Message too long", outputstest.Rejected},
		{400, "ParameterValueInvalid", "an attribute", outputstest.Rejected},
		{403, "AuthorizationError", "not authorized to perform SNS:Publish", outputstest.Held},
		{403, "InvalidClientTokenId", "The security token is invalid", outputstest.Held},
		{400, "KMSAccessDenied", "the key", outputstest.Held},
		{400, "KMSThrottling", "the key", outputstest.NotNow},
		{400, "Throttling", "Rate exceeded", outputstest.NotNow},
		{500, "InternalError", "of ours", outputstest.NotNow},
	} {
		f.Answer(func(w http.ResponseWriter, _ awstest.Call) { awstest.FaultXML(w, c.status, c.code, c.message) })
		for n := range 2 {
			f.Take()
			err := send(awstest.Several(n + 1)...)
			if got := outputstest.OutcomeOf(err); got != c.want || !strings.Contains(fmt.Sprint(err), c.message) {
				t.Errorf("%s for %d events is %q (%v), want %q", c.code, n+1, got, err, c.want)
			}
			if calls := len(f.Take()); calls != 1 {
				t.Errorf("%s: %d attempts were made, want one", c.code, calls)
			}
		}
	}
}

func TestAnAnswerWithoutAMessageIDIsNoSuccess(t *testing.T) {
	f, send := serve(t, "")
	for n, text := range []string{"<PublishResponse><PublishResult></PublishResult></PublishResponse>", batchAnswer("", "")} {
		f.Answer(func(w http.ResponseWriter, _ awstest.Call) { _, _ = io.WriteString(w, text) })
		if err := send(awstest.Several(n + 1)...); err == nil || awstest.Each(err, n+1)[0] != outputstest.NotNow {
			t.Errorf("%d events: got %v", n+1, err)
		}
	}
}

func FuzzAttributes(f *testing.F) {
	f.Add("proc.aname[2]", `"bash"`)
	f.Add("AWS.x..y.", `1e400`)
	f.Add("\xff[", `"\u0000\ud800"`)
	f.Fuzz(func(t *testing.T, name, value string) {
		quoted, err := json.Marshal(name)
		if err != nil {
			t.Skip()
		}
		e, err := event.Decode([]byte(`{"output":"o","priority":"Error","rule":"R","time":"2026-01-02T03:04:05Z","output_fields":{` + string(quoted) + ":" + value + `}}`))
		if err != nil {
			t.Skip()
		}
		for name, a := range payload(Config{TopicARN: topic}, e).attributes {
			if !allowedName.MatchString(name) || len(name) > 256 || *a.StringValue == "" || notXML.MatchString(*a.StringValue) {
				t.Errorf("got the attribute %q = %q", name, *a.StringValue)
			}
		}
	})
}
