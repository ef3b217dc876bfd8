package telegram

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/falcotext"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func TestAnswersAreRead(t *testing.T) {
	for _, c := range []struct {
		status int
		header string // Retry-After
		body   string
		want   outputstest.Outcome
		pause  time.Duration
	}{
		{429, "", `{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 35","parameters":{"retry_after":35}}`, outputstest.NotNow, 35 * time.Second},
		{429, "60", `{"parameters":{"retry_after":35}}`, outputstest.NotNow, time.Minute},
		{429, "", `{"parameters":{"retry_after":9000000000000000000}}`, outputstest.NotNow, time.Hour},
		{429, "", `{"parameters":{"retry_after":-1}}`, outputstest.NotNow, 0},
		{400, "", `{"ok":false,"description":"Bad Request: chat not found"}`, outputstest.Held, 0},
		{400, "", `{"ok":false,"description":"Bad Request: message thread not found"}`, outputstest.Held, 0},
		{400, "", `{"ok":false,"description":"Bad Request: group chat was upgraded to a supergroup chat","parameters":{"migrate_to_chat_id":-1001}}`, outputstest.Held, 0},
		{400, "", `{"ok":false,"description":"Bad Request: message is too long"}`, outputstest.Rejected, 0},
		{400, "", `{"ok":false,"description":"Bad Request: can't parse entities: character '.' is reserved"}`, outputstest.Rejected, 0},
		{400, "", `no`, outputstest.Rejected, 0},
		{401, "", `{"ok":false,"description":"Unauthorized"}`, outputstest.Held, 0},
		{403, "", `{"ok":false,"description":"Forbidden: bot was kicked from the group chat"}`, outputstest.Held, 0},
		{404, "", `{"ok":false,"description":"Not Found"}`, outputstest.Held, 0},
		{502, "", `{"ok":false,"description":"Bad Gateway"}`, outputstest.NotNow, 0},
	} {
		header := http.Header{}
		if c.header != "" {
			header.Set("Retry-After", c.header)
		}
		err := judge(c.status, header, []byte(c.body))
		if got := outputstest.OutcomeOf(err); got != c.want || outputs.Delay(err) != c.pause {
			t.Errorf("%d %s is %q after %v, want %q after %v", c.status, c.body, got, outputs.Delay(err), c.want, c.pause)
		}
	}
}

func TestMarkupInAnEventIsShownAsItIs(t *testing.T) {
	const text = `a_b*c[d](e)~f` + "`g`" + `>#+-=|{}.!\_ \n`
	got := escape(text)
	var plain strings.Builder
	for i := 0; i < len(got); i++ {
		if got[i] == '\\' {
			i++
		} else if strings.ContainsRune("_*[]()~`>#+-=|{}.!", rune(got[i])) {
			t.Errorf("%q is not escaped", got[i])
		}
		plain.WriteByte(got[i])
	}
	if plain.String() != text {
		t.Errorf("%s shows as %s", got, plain.String())
	}
}

func TestTheLargestMessageFits(t *testing.T) {
	e := outputstest.Plain()
	e.Output, e.Rule, e.Hostname = strings.Repeat("🦅", 50_000), strings.Repeat("r", 5000), strings.Repeat(".", 5000)
	e.Tags = slices.Repeat([]string{strings.Repeat("t", 500)}, 256)
	m := payload(Config{ChatID: "1"}, e)
	shown := strings.ReplaceAll(m.Text, `\`, "")
	if n := falcotext.LenUTF16(shown); n > maxText {
		t.Errorf("the text has %d units", n)
	}
}

func FuzzJudge(f *testing.F) {
	f.Add(429, []byte(`{"parameters":{"retry_after":35}}`))
	f.Add(400, []byte(`{"description":"Bad Request: chat not found"}`))
	f.Fuzz(func(t *testing.T, status int, answer []byte) {
		err := judge(status, nil, answer)
		if err == nil {
			t.Error("an answer that is not 2xx was taken for success")
		}
		if d := outputs.Delay(err); d < 0 || d > maxPause {
			t.Errorf("a pause of %v", d)
		}
	})
}
