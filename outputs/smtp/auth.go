package smtp

import (
	"encoding/base64"
	"errors"
	"net/textproto"
	"strconv"
	"strings"

	"github.com/wneessen/go-mail/smtp"

	"github.com/saker-security/saker/outputs/internal/httpx"
)

// mechanism is one of SASL that says all it has to say at once, or answers questions one by one.
type mechanism struct {
	name    string
	first   []byte
	answers [][]byte
}

// Start implements smtp.Auth.
func (a *mechanism) Start(*smtp.ServerInfo) (string, []byte, error) { return a.name, a.first, nil }

// Next implements smtp.Auth.
func (a *mechanism) Next(_ []byte, more bool) ([]byte, error) {
	if !more {
		return nil, nil
	}
	if len(a.answers) == 0 {
		return nil, errors.New("the server asks for more than the mechanism has")
	}
	answer := a.answers[0]
	a.answers = a.answers[1:]
	return answer, nil
}

// newMechanism returns how to log in, anew for each time; nil for not at all.
func (s *sender) newMechanism() smtp.Auth {
	password, token := s.Password.Reveal(), s.Token.Reveal()
	switch s.AuthMechanism {
	case "plain":
		if s.User == "" && password == "" {
			return nil
		}
		return &mechanism{name: "PLAIN", first: []byte(s.Identity + "\x00" + s.User + "\x00" + password)}
	case "login":
		if s.User == "" && password == "" {
			return nil
		}
		return &mechanism{name: "LOGIN", answers: [][]byte{[]byte(s.User), []byte(password)}}
	case "oauthbearer":
		text := "n,"
		if s.User != "" {
			text += "a=" + saslName(s.User)
		}
		text += ",\x01host=" + s.host + "\x01port=" + strconv.Itoa(s.port) + "\x01auth=Bearer " + token + "\x01\x01"
		// The server explains a refusal, and refuses once it has been heard.
		return &mechanism{name: "OAUTHBEARER", first: []byte(text), answers: [][]byte{{1}}}
	case "xoauth2":
		text := "user=" + s.User + "\x01auth=Bearer " + token + "\x01\x01"
		return &mechanism{name: "XOAUTH2", first: []byte(text), answers: [][]byte{{}}}
	case "external":
		// Without an identity there is nothing to say at first; the answer says so.
		return &mechanism{name: "EXTERNAL", first: []byte(s.Identity), answers: [][]byte{{}}}
	case "anonymous":
		return &mechanism{name: "ANONYMOUS", first: []byte(s.Trace), answers: [][]byte{{}}}
	}
	return nil
}

// saslName escapes a name as GS2 does.
func saslName(s string) string {
	return strings.NewReplacer("=", "=3D", ",", "=2C").Replace(s)
}

// hide returns err without what a server may repeat of the credentials.
func (s *sender) hide(err error) error {
	text := err.Error()
	answer, isAnswer := errors.AsType[*textproto.Error](err)
	if isAnswer {
		text = answer.Msg
	}
	for _, secret := range []string{s.Password.Reveal(), s.Token.Reveal()} {
		if secret != "" {
			text = strings.NewReplacer(secret, "[hidden]", base64.StdEncoding.EncodeToString([]byte(secret)), "[hidden]").Replace(text)
		}
	}
	if first, ok := s.newMechanism().(*mechanism); ok && len(first.first) > 0 {
		text = strings.ReplaceAll(text, base64.StdEncoding.EncodeToString(first.first), "[hidden]")
	}
	text = httpx.OneLine(text)
	if isAnswer {
		return &textproto.Error{Code: answer.Code, Msg: text}
	}
	if text == err.Error() {
		return err
	}
	return errors.New(text)
}
