package telegram_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/saker-security/saker/outputs/internal/outputstest"
	_ "github.com/saker-security/saker/outputs/telegram"
)

func Test(t *testing.T) {
	const bot = "host: URL, token: '123456:ABC-s3cretT0ken', chatid: '-100'"
	outputstest.HTTP{
		Kind:   "telegram",
		Config: "{" + bot + "}",
		Secret: "123456:ABC-s3cretT0ken",
		Variants: map[string]string{
			"thread":  "{" + bot + ", messagethreadid: '7'}",
			"channel": "{host: URL/api/, token: '123456:ABC-s3cretT0ken', chatid: '@falco_alerts'}",
		},
		Wrong: map[string]string{
			"{chatid: '1'}":                                       "token",
			"{token: '123456:ABC-s3cretT0ken'}":                   "chatid",
			"{token: '12 s3cretT0ken', chatid: '1'}":              "must be a bot's token",
			"{token: '12/s3cretT0ken', chatid: '1'}":              "must be a bot's token",
			"{" + bot + ", messageformat: x}":                     "messageformat",
			"{host: api.telegram.org, token: '1:a', chatid: '1'}": "host",
		},
		Answer: answer,
	}.Run(t)
}

// answer is what the Bot API says to sendMessage, with its checks of the text.
func answer(w http.ResponseWriter, _ *http.Request, body []byte) {
	var m struct {
		Text      string `json:"text"`
		ParseMode string `json:"parse_mode"`
		ChatID    string `json:"chat_id"`
	}
	w.Header().Set("Content-Type", "application/json")
	problem := ""
	if err := json.Unmarshal(body, &m); err != nil {
		problem = err.Error()
	} else if text, err := parse(m.Text); err != nil {
		problem = "can't parse entities: " + err.Error()
	} else if n := len(utf16.Encode([]rune(text))); n > 4096 {
		problem = "message is too long"
	} else if strings.TrimSpace(text) == "" {
		problem = "message text is empty"
	} else if m.ChatID == "" || m.ParseMode != "MarkdownV2" {
		problem = "chat not found"
	}
	if problem != "" {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"ok":false,"error_code":400,"description":%q}`, "Bad Request: "+problem)
		return
	}
	fmt.Fprint(w, `{"ok":true,"result":{"message_id":1}}`)
}

// parse returns the text that is left of MarkdownV2 once its markup is taken out. Of the
// markup it knows bold; all else that is not escaped is an error, as it is to Telegram
// where it has no partner.
func parse(text string) (string, error) {
	var plain strings.Builder
	bold := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text) && text[i+1] < 127:
			i++
			plain.WriteByte(text[i])
		case c == '*':
			bold = !bold
		case strings.IndexByte("_[]()~`>#+-=|{}.!", c) >= 0:
			return "", fmt.Errorf("character '%c' is reserved and must be escaped with the preceding '\\'", c)
		default:
			plain.WriteByte(c)
		}
	}
	if bold {
		return "", fmt.Errorf("can't find end of bold entity")
	}
	return plain.String(), nil
}

func TestTheFakeParsesAsTelegramDoes(t *testing.T) {
	for text, want := range map[string]string{
		`*a* b\.c \\n`: `a b.c \n`,
		`é\_**x`:       `é_x`,
	} {
		if got, err := parse(text); got != want || err != nil {
			t.Errorf("%s: got %q, %v", text, got, err)
		}
	}
	for _, text := range []string{`a.b`, `*a`, `[x](y)`} {
		if got, err := parse(text); err == nil {
			t.Errorf("%s: got %q", text, got)
		}
	}
}
