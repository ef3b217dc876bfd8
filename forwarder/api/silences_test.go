package api

import (
	"strings"
	"testing"
	"time"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/forwarder/auth"
	"github.com/saker-security/saker/forwarder/silence"
)

const aSilence = `{"matchers":[{"name":"rule","op":"=","value":"a rule"}],"for":"2h","comment":"a test","author":"ann"}`

func TestASilenceIsMadeChangedAndEnded(t *testing.T) {
	server, log := operated(t, newStore(), nil)
	if text := ask(t, server, "GET", "/silences", "", 200, nil); text != `{"silences":[]}`+"\n" {
		t.Errorf("no silences are %s", text)
	}
	var s silence.Status
	ask(t, server, "POST", "/silences", aSilence, 201, &s)
	if s.ID == "" || s.State != silence.Active || s.Author != "ann" || s.EndsAt.Sub(s.StartsAt).Round(time.Minute) != 2*time.Hour {
		t.Errorf("made %+v", s)
	}
	ask(t, server, "PUT", "/silences/"+s.ID, strings.Replace(aSilence, "2h", "5h", 1), 200, &s)
	var list SilenceList
	ask(t, server, "GET", "/silences", "", 200, &list)
	if len(list.Silences) != 1 || list.Silences[0].EndsAt.Sub(s.StartsAt).Round(time.Minute) != 5*time.Hour {
		t.Errorf("listed %+v", list)
	}
	ask(t, server, "DELETE", "/silences/"+s.ID, "", 200, &s)
	if s.State != silence.Expired {
		t.Errorf("ended %+v", s)
	}
	ask(t, server, "GET", "/silences/"+s.ID, "", 200, &s)
	if s.State != silence.Expired {
		t.Errorf("then %+v", s)
	}
	ask(t, server, "DELETE", "/silences/"+s.ID, "", 409, nil)
	ask(t, server, "PUT", "/silences/"+s.ID, aSilence, 409, nil)
	for _, line := range []string{`msg="a silence was stored" by=anybody from=127.0.0.1:`, `author=ann comment="a test"`, `msg="a silence was ended"`} {
		if !strings.Contains(log.String(), line) {
			t.Errorf("the log has no %s: %s", line, log)
		}
	}
}

func TestASilenceWithoutAnAuthorIsThatOfWhoAsks(t *testing.T) {
	server, _ := operated(t, newStore(), func(o *Options) {
		o.Guard = auth.New(auth.Config{Username: "ann", Password: config.NewSecret("pw")})
	})
	var s silence.Status
	ask(t, server, "POST", "/silences", strings.Replace(aSilence, `,"author":"ann"`, "", 1), 201, &s, "Authorization", "Basic YW5uOnB3")
	if s.Author != "ann" {
		t.Errorf("made %+v", s)
	}
}

func TestASilenceThatIsNoneIsRefused(t *testing.T) {
	server, _ := operated(t, newStore(), nil)
	for body, want := range map[string]string{
		`{}`:             `\"for\" or \"endsAt\" must say when`,
		`{"for":"2h"}`:   `needs at least one matcher`,
		`{"for":"long"}`: `\"for\" must be how long`,
		`{"for":"-2h"}`:  `\"for\" must be how long`,
		`{"for":"2h","endsAt":"2099-01-01T00:00:00Z"}`:                                  `both say when`,
		`{"for":"2h","matcher":[]}`:                                                     `unknown field \"matcher\"`,
		`{"for":"2h","comment":"c","matchers":[{"name":"rule","op":"==","v":"x"}]}`:     `unknown field \"v\"`,
		`{"for":"2h","comment":"c","matchers":[{"name":"rule","op":"=~","value":"("}]}`: `rule`,
		strings.Replace(aSilence, "2h", "90000h", 1):                                    `at most 366 days`,
	} {
		if text := ask(t, server, "POST", "/silences", body, 400, nil); !strings.Contains(text, want) {
			t.Errorf("%s: %s", body, text)
		}
	}
	ask(t, server, "GET", "/silences/none", "", 404, nil)
	ask(t, server, "DELETE", "/silences/none", "", 404, nil)
	ask(t, server, "PUT", "/silences/none", aSilence, 404, nil)
}
