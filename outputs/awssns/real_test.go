package awssns

import (
	"encoding/json"
	"encoding/xml"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/saker-security/saker/outputs/internal/awsx/awstest"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

// emulator starts GoAWS with a topic, to which a queue is subscribed, both called falco.
func emulator(t *testing.T) (address string) {
	t.Helper()
	return outputstest.Start(t, outputstest.Program{
		Module: "goaws",
		Prepare: func(t *testing.T, address, dir string) {
			_, port, _ := strings.Cut(address, ":")
			text := "Local:\n  Host: 127.0.0.1\n  Port: " + port + "\n  Region: eu-west-1\n  AccountId: \"123456789012\"\n" +
				"  Topics:\n    - Name: falco\n      Subscriptions:\n        - QueueName: falco\n          Raw: false\n"
			if err := os.WriteFile(filepath.Join(dir, "goaws.yaml"), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		},
		Args:  func(_, dir string) []string { return []string{"-config", filepath.Join(dir, "goaws.yaml"), "Local"} },
		Ready: "/health",
	})
}

// received takes the message that the queue has, or returns nothing.
func received(t *testing.T, address string) string {
	t.Helper()
	resp, err := http.PostForm(address, url.Values{
		"Action": {"ReceiveMessage"}, "QueueUrl": {address + "/123456789012/falco"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Body string `xml:"ReceiveMessageResult>Message>Body"`
	}
	if err := xml.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return answer.Body
}

func TestRealEventsReachASubscribedQueue(t *testing.T) {
	awstest.Isolate(t)
	address := emulator(t)
	e := outputstest.Plain()
	for _, raw := range []string{"false", "true"} {
		sender := awstest.Open(t, "awssns", "{"+awstest.Access+", endpointurl: '"+address+"', topicarn: '"+topic+"', rawjson: "+raw+"}")
		if err := sender.Send(t.Context(), awstest.Batch()); err != nil {
			t.Fatal(err)
		}
		var notification struct {
			Message           string
			MessageAttributes map[string]struct{ Type, Value string }
		}
		outputstest.Eventually(t, "the queue has the message", func() bool {
			body := received(t, address)
			return body != "" && json.Unmarshal([]byte(body), &notification) == nil
		})
		want := e.Output
		if raw == "true" {
			want = string(e.AppendJSON(nil))
		}
		if notification.Message != want {
			t.Errorf("rawjson %s: got %q, want %q", raw, notification.Message, want)
		}
		if got := notification.MessageAttributes["proc.aname.2"].Value; raw == "false" && got != "bash" {
			t.Errorf("got the attributes %v", notification.MessageAttributes)
		}
	}
}

func TestRealTopicsThatAreNotThereHoldTheEvents(t *testing.T) {
	awstest.Isolate(t)
	address := emulator(t)
	sender := awstest.Open(t, "awssns", "{"+awstest.Access+", endpointurl: '"+address+"', topicarn: '"+topic+"2'}")
	if err := sender.Send(t.Context(), awstest.Batch()); outputstest.OutcomeOf(err) == outputstest.Delivered || outputstest.OutcomeOf(err) == outputstest.Rejected {
		t.Errorf("got %v", err)
	}
}
