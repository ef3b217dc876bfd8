package azureeventhub

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

const (
	host = "falco.servicebus.windows.net"
	key  = "s3cretKey+/aGVsbG8gd29ybGQ="
)

func Test(t *testing.T) {
	const connection = "connectionstring: 'Endpoint=sb://" + host + "/;SharedAccessKeyName=send only;SharedAccessKey=" + key + "'"
	outputstest.HTTP{
		Kind:   "azureeventhub",
		Config: "{name: Falco, endpoint: URL, " + connection + "}",
		Secret: key,
		Answer: hub,
		Clean:  clean,
		Variants: map[string]string{
			"namespace": "{namespace: " + host + ", name: Falco, endpoint: URL, connectionstring: 'Endpoint=sb://" + host + ";SharedAccessKeyName=send only;SharedAccessKey=" + key + ";EntityPath=falco'}",
		},
		Wrong: map[string]string{
			"{}":                                    "name",
			"{name: f}":                             "namespace",
			"{namespace: a.servicebus.windows.net}": "name",
			"{namespace: 'https://a.servicebus.windows.net', name: f}":                                                        "namespace's full name",
			"{namespace: a.servicebus.windows.net, name: a/b}":                                                                "name of an event hub",
			"{name: f, connectionstring: " + key + "}":                                                                        "connectionstring",
			"{name: f, connectionstring: 'Endpoint=sb://a/'}":                                                                 "SharedAccessKeyName",
			"{name: f, connectionstring: 'SharedAccessKey=" + key + "'}":                                                      "must have an Endpoint",
			"{name: f, namespace: b, connectionstring: 'Endpoint=sb://a/;SharedAccessKeyName=n;SharedAccessKey=" + key + "'}": "another one",
			"{name: f, connectionstring: 'Endpoint=sb://a/;SharedAccessKeyName=n;SharedAccessKey=k;EntityPath=g'}":            "another event hub",
			"{name: f, connectionstring: 'Endpoint=sb://a/;SharedAccessSignature=sr=x'}":                                      "begins with those words",
		},
	}.Run(t)
}

var signed = regexp.MustCompile(`&sig=[^&\s]*&se=\d+`)

// clean replaces what depends on the time.
func clean(text string) string { return signed.ReplaceAllString(text, "&sig=SIGNATURE&se=END") }

// hub answers as Event Hubs does, and refuses what it refuses.
func hub(w http.ResponseWriter, r *http.Request, body []byte) {
	refuse := func(status int, detail string) {
		w.Header().Set("Content-Type", "application/xml; charset=utf-8")
		w.WriteHeader(status)
		fmt.Fprintf(w, "<Error><Code>%d</Code><Detail>%s</Detail></Error>", status, detail)
	}
	if err := checkToken(r.Header.Get("Authorization")); err != nil {
		refuse(http.StatusUnauthorized, err.Error())
		return
	}
	if r.Method != http.MethodPost || r.URL.Path != "/Falco/messages" && r.URL.Path != "/elsewhere" {
		refuse(http.StatusNotFound, "The requested entity was not found")
		return
	}
	switch r.Header.Get("Content-Type") {
	case "application/atom+xml;type=entry;charset=utf-8":
		if _, err := event.Decode(body); err != nil {
			refuse(http.StatusBadRequest, err.Error())
			return
		}
	case "application/vnd.microsoft.servicebus.json":
		if len(body) > 256<<10 {
			refuse(http.StatusRequestEntityTooLarge, "the batch is too large")
			return
		}
		if _, err := bodies(body); err != nil {
			refuse(http.StatusBadRequest, err.Error())
			return
		}
	default:
		refuse(http.StatusUnsupportedMediaType, "")
		return
	}
	w.WriteHeader(http.StatusCreated)
}

// bodies returns the events of a batch.
func bodies(text []byte) ([]event.Event, error) {
	var messages []struct{ Body string }
	if err := json.Unmarshal(text, &messages); err != nil {
		return nil, err
	}
	var all []event.Event
	for _, m := range messages {
		e, err := event.Decode([]byte(m.Body))
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

// checkToken checks a token as the service does.
func checkToken(authorization string) error {
	text, ok := strings.CutPrefix(authorization, "SharedAccessSignature ")
	if !ok {
		return fmt.Errorf("MissingToken: %q", authorization)
	}
	q, err := url.ParseQuery(text)
	if err != nil {
		return err
	}
	end, err := strconv.ParseInt(q.Get("se"), 10, 64)
	if err != nil || time.Unix(end, 0).Before(time.Now()) {
		return fmt.Errorf("ExpiredToken: %q", q.Get("se"))
	}
	mac := hmac.New(sha256.New, []byte(key))
	fmt.Fprintf(mac, "%s\n%d", url.QueryEscape(q.Get("sr")), end)
	if want := base64.StdEncoding.EncodeToString(mac.Sum(nil)); q.Get("sig") != want || q.Get("skn") != "send only" {
		return fmt.Errorf("InvalidSignature: the token has an invalid signature")
	}
	if q.Get("sr") != "https://"+host+"/falco" {
		return fmt.Errorf("InvalidAudience: %q", q.Get("sr"))
	}
	return nil
}

func TestABatchThatIsTooLargeGoesInSeveralRequests(t *testing.T) {
	large := outputstest.Plain()
	large.Output = strings.Repeat("x", 100<<10)
	huge := large
	huge.Output = strings.Repeat("x", 500<<10)
	var got []string
	batch := []event.Event{large, large, large, huge, large}
	for from := 0; from < len(batch); {
		body, kind, to := request(batch, from)
		got = append(got, fmt.Sprintf("%d-%d %t", from, to, kind == manyEvents))
		if kind == manyEvents {
			if all, err := bodies(body); err != nil || len(all) != to-from {
				t.Errorf("%d events of %d (%v)", len(all), to-from, err)
			}
		}
		from = to
	}
	if want := "[0-2 true 2-3 false 3-4 false 4-5 false]"; fmt.Sprint(got) != want {
		t.Errorf("the requests are %v, want %s", got, want)
	}
}

func TestAMessageThatIsTooLargeIsRejected(t *testing.T) {
	for body, want := range map[string]outputstest.Outcome{
		"<Detail>The message is too large</Detail>":      outputstest.Rejected,
		"<Detail>Quota exceeded</Detail>":                outputstest.Held,
		"<Detail>InvalidAudience: unauthorized</Detail>": outputstest.Held,
	} {
		if got := outputstest.OutcomeOf(judge(403, http.Header{}, []byte(body))); got != want {
			t.Errorf("403 with %s is %q, want %q", body, got, want)
		}
	}
}

// A managed identity gets its tokens from an endpoint beside the program.
func identity(t *testing.T, answer http.HandlerFunc) {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	t.Setenv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")
	t.Setenv("IDENTITY_ENDPOINT", server.URL+"/msi/token")
	t.Setenv("IDENTITY_HEADER", "s3cretHeader")
	// The library keeps tokens of the whole process, by identity.
	t.Setenv("AZURE_CLIENT_ID", uuid.NewString())
}

// send sends an event to a hub that takes the token s3cretToken.
func send(t *testing.T) error {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer s3cretToken" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.WriteHeader(http.StatusCreated)
	}))
	t.Cleanup(server.Close)
	s, err := outputstest.New("azureeventhub", "{namespace: "+host+", name: falco, endpoint: '"+server.URL+"'}", outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.(io.Closer).Close(); err != nil { //nolint:forcetypeassert // a sender over HTTP is one
			t.Error(err)
		}
	})
	return s.Send(t.Context(), []event.Event{outputstest.Plain()})
}

func TestWithoutAConnectionStringTheManagedIdentityCounts(t *testing.T) {
	outputstest.NoLeak(t)
	identity(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-IDENTITY-HEADER") != "s3cretHeader" || r.URL.Query().Get("resource") != "https://eventhubs.azure.net" {
			t.Errorf("asked for a token for %q", r.URL.Query().Get("resource"))
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":"s3cretToken","expires_on":"%d","resource":"https://eventhubs.azure.net","token_type":"Bearer"}`, time.Now().Add(time.Hour).Unix())
	})
	if err := send(t); err != nil {
		t.Fatal(err)
	}
}

func TestAnIdentityThatIsRefusedIsHeld(t *testing.T) {
	for status, want := range map[int]outputstest.Outcome{
		http.StatusBadRequest: outputstest.Held, http.StatusForbidden: outputstest.Held, http.StatusInternalServerError: outputstest.NotNow,
	} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			outputstest.NoLeak(t)
			identity(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no identity", status) })
			err := send(t)
			if got := outputstest.OutcomeOf(err); got != want {
				t.Errorf("%d of the identity's endpoint is %q (%v), want %q", status, got, err, want)
			}
			outputstest.NoSecret(t, "s3cretHeader s3cretToken", fmt.Sprint(err))
		})
	}
}

func FuzzAConnectionStringIsReadOrRefused(f *testing.F) {
	f.Add("Endpoint=sb://" + host + "/;SharedAccessKeyName=n;SharedAccessKey=" + key + ";EntityPath=h")
	f.Add("Endpoint=sb://a;SharedAccessSignature=SharedAccessSignature sr=x")
	f.Add(";;=;a")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parseAccess(text)
		if err == nil && text != "" && (p.host == "" || p.signature.IsZero() && p.key.IsZero()) {
			t.Errorf("%q has no host or key", text)
		}
	})
}
