package smtp

import (
	"errors"
	"fmt"
	"net/textproto"
	"strconv"
	"strings"

	"github.com/saker-security/saker/outputs"
)

// transaction gives one message to the server. A recipient whom it refuses for good keeps
// the mail from nobody else.
func (s *sender) transaction(c *conn, message []byte) error {
	if c.maxSize > 0 && len(message) > c.maxSize {
		return outputs.Reject(fmt.Errorf("the message has %d bytes, more than the %d that the server takes", len(message), c.maxSize))
	}
	if err := c.client.Mail("<" + s.from + ">"); err != nil {
		return classify("sender", err, outputs.Hold)
	}
	taken := 0
	var refused error
	for _, to := range s.to {
		err := c.client.Rcpt("<" + to + ">")
		answer, isAnswer := errors.AsType[*textproto.Error](err)
		switch {
		case err == nil:
			taken++
		case isAnswer && answer.Code/100 == 5:
			refused = classify("recipient "+to, err, outputs.Hold)
			s.warn(to, refused)
		default:
			return classify("recipient "+to, err, outputs.Hold)
		}
	}
	if taken == 0 {
		return refused
	}
	w, err := c.client.Data()
	if err != nil {
		return classify("message", err, outputs.Hold)
	}
	if _, err := w.Write(message); err != nil {
		return fmt.Errorf("send message: %w", err)
	}
	return classify("message", w.Close(), aboutMessage)
}

// warn logs that a recipient is refused, once.
func (s *sender) warn(to string, err error) {
	if s.warnOnce[to] || s.env.Log == nil {
		return
	}
	s.warnOnce[to] = true
	s.env.Log.Warn("The mail server refuses a recipient; the others get the mails.", "error", err)
}

// classify returns what an answer to a part of a transaction means: a refusal for good (5yz)
// is made an error by refuse, and anything else may go well the next time.
func classify(part string, err error, refuse func(error) error) error {
	if err == nil {
		return nil
	}
	answer, ok := errors.AsType[*textproto.Error](err)
	if !ok {
		return fmt.Errorf("%s: %w", part, err)
	}
	err = fmt.Errorf("the server refuses the %s: %w", part, clean(err))
	switch {
	case answer.Code/100 != 5:
		return err
	case tooLarge(answer):
		return outputs.Reject(err)
	}
	return refuse(err)
}

// aboutMessage is what a refusal of the message itself is: the event's fault, unless the
// server says that the account may not send.
func aboutMessage(err error) error {
	answer, ok := errors.AsType[*textproto.Error](err)
	if ok && (answer.Code == 530 || answer.Code == 535) {
		return outputs.Hold(err)
	}
	if class, subject, detail := enhanced(err); class == 5 && subject == 7 && detail >= 8 {
		return outputs.Hold(err)
	}
	return outputs.Reject(err)
}

func tooLarge(answer *textproto.Error) bool {
	class, subject, detail := enhanced(answer)
	return answer.Code == 552 && subject != 2 || class == 5 && subject == 3 && detail == 4
}

// enhanced returns the enhanced status code that an answer begins with, zeros for none.
func enhanced(err error) (class, subject, detail int) {
	answer, ok := errors.AsType[*textproto.Error](err)
	if !ok {
		return 0, 0, 0
	}
	word, _, _ := strings.Cut(answer.Msg, " ")
	parts := strings.Split(word, ".")
	if len(parts) != 3 {
		return 0, 0, 0
	}
	var codes [3]int
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 16)
		if err != nil {
			return 0, 0, 0
		}
		codes[i] = int(n)
	}
	return codes[0], codes[1], codes[2]
}
