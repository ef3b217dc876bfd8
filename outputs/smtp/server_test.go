package smtp

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	gosmtp "github.com/emersion/go-smtp"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

const (
	user     = "saker"
	password = "s3cretPassword"
	token    = "s3cretToken"
)

// mailServer is a mail server in this process, which asks for a log-in.
type mailServer struct {
	*gosmtp.Server
	address string

	mu       sync.Mutex
	mails    []string
	sessions int
	logIn    string // how the last session has logged in
	// refuse, if set, says what is answered at a step: "mail", "rcpt ADDRESS", "data".
	refuse func(step string) error
	// noAuth lets in whoever does not log in.
	noAuth bool
}

// serve starts a server that lives until the test ends. With TLS it speaks TLS from the
// start if implicit is set, or else offers STARTTLS.
func serve(t *testing.T, settings *tls.Config, implicit bool, change ...func(*mailServer)) *mailServer {
	t.Helper()
	m := &mailServer{}
	m.Server = gosmtp.NewServer(m)
	m.Domain, m.AllowInsecureAuth, m.ErrorLog = "mail.example.com", settings == nil, slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	m.MaxMessageBytes = 10 << 20
	for _, f := range change {
		f(m)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m.address = l.Addr().String()
	if implicit {
		l = tls.NewListener(l, settings)
	} else {
		m.TLSConfig = settings
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = m.Serve(l) // ends by Close
	}()
	t.Cleanup(func() {
		_ = m.Close()
		<-done
	})
	return m
}

// take returns the mails since the last call.
func (m *mailServer) take() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	taken := m.mails
	m.mails = nil
	return taken
}

// connections is how many connections there have been.
func (m *mailServer) connections() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sessions
}

// refusing changes what the server refuses.
func (m *mailServer) refusing(f func(step string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refuse = f
}

func (m *mailServer) answer(step string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuse == nil {
		return nil
	}
	return m.refuse(step)
}

// NewSession implements gosmtp.Backend. A connection that starts TLS has two sessions, the
// first of which says nothing.
func (m *mailServer) NewSession(c *gosmtp.Conn) (gosmtp.Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, encrypted := c.TLSConnectionState(); encrypted || m.TLSConfig == nil {
		m.sessions++
	}
	return &session{server: m, loggedIn: m.noAuth}, nil
}

// session is one connection's.
type session struct {
	server   *mailServer
	loggedIn bool
	from     string
	to       []string
}

func (s *session) AuthMechanisms() []string {
	return []string{"PLAIN", "LOGIN", "OAUTHBEARER", "XOAUTH2", "EXTERNAL", "ANONYMOUS"}
}

func (s *session) Auth(mechanism string) (sasl.Server, error) {
	enter := func(ok bool, how string) error {
		s.loggedIn = ok
		if !ok {
			// Some servers repeat what they were told.
			return &gosmtp.SMTPError{Code: 535, EnhancedCode: gosmtp.EnhancedCode{5, 7, 8}, Message: "Authentication failed for " + password + token}
		}
		s.server.mu.Lock()
		defer s.server.mu.Unlock()
		s.server.logIn = how
		return nil
	}
	switch mechanism {
	case "PLAIN":
		return sasl.NewPlainServer(func(identity, u, p string) error {
			return enter(u == user && p == password, "plain "+identity+" "+u)
		}), nil
	case "LOGIN":
		return &loginServer{func(u, p string) error { return enter(u == user && p == password, "login "+u) }, nil}, nil
	case "OAUTHBEARER":
		return &refusingServer{sasl.NewOAuthBearerServer(func(o sasl.OAuthBearerOptions) *sasl.OAuthBearerError {
			if enter(o.Token == token, fmt.Sprintf("oauthbearer %s %s", o.Username, o.Host)) != nil {
				return &sasl.OAuthBearerError{Status: "invalid_token", Schemes: "bearer"}
			}
			return nil
		})}, nil
	case "XOAUTH2":
		return &onceServer{func(text string) error {
			return enter(text == "user="+user+"\x01auth=Bearer "+token+"\x01\x01", "xoauth2")
		}}, nil
	case "EXTERNAL":
		return &onceServer{func(text string) error { return enter(true, "external "+text) }}, nil
	case "ANONYMOUS":
		return &onceServer{func(text string) error { return enter(true, "anonymous "+text) }}, nil
	}
	return nil, errors.New("unknown mechanism")
}

// loginServer is the mechanism LOGIN, which go-sasl has no server of.
type loginServer struct {
	enter func(user, password string) error
	said  []string
}

func (l *loginServer) Next(response []byte) ([]byte, bool, error) {
	if response != nil {
		l.said = append(l.said, string(response))
	}
	switch len(l.said) {
	case 0:
		return []byte("Username:"), false, nil
	case 1:
		return []byte("Password:"), false, nil
	}
	return nil, true, l.enter(l.said[0], l.said[1])
}

// refusingServer refuses for good, which go-smtp takes for temporary otherwise.
type refusingServer struct{ sasl.Server }

func (r *refusingServer) Next(response []byte) ([]byte, bool, error) {
	challenge, done, err := r.Server.Next(response)
	if err != nil {
		err = &gosmtp.SMTPError{Code: 535, EnhancedCode: gosmtp.EnhancedCode{5, 7, 8}, Message: err.Error()}
	}
	return challenge, done, err
}

// onceServer is a mechanism whose client says all at once.
type onceServer struct{ enter func(text string) error }

func (o *onceServer) Next(response []byte) ([]byte, bool, error) {
	if response == nil {
		return []byte{}, false, nil
	}
	return nil, true, o.enter(string(response))
}

func (s *session) Mail(from string, _ *gosmtp.MailOptions) error {
	if !s.loggedIn {
		return &gosmtp.SMTPError{Code: 530, EnhancedCode: gosmtp.EnhancedCode{5, 7, 0}, Message: "Authentication required"}
	}
	s.from = from
	return s.server.answer("mail")
}

func (s *session) Rcpt(to string, _ *gosmtp.RcptOptions) error {
	if err := s.server.answer("rcpt " + to); err != nil {
		return err
	}
	s.to = append(s.to, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	body, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if err := s.server.answer("data"); err != nil {
		return err
	}
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.server.mails = append(s.server.mails, fmt.Sprintf("MAIL FROM %s TO %s\n%s\n", s.from, strings.Join(s.to, " "), body))
	return nil
}

func (s *session) Reset()        { s.from, s.to = "", nil }
func (s *session) Logout() error { return nil }

// open makes a sender for m.
func open(t *testing.T, m *mailServer, keys string, env outputs.Env) *sender {
	t.Helper()
	made, err := outputstest.New("smtp", "{hostport: '"+m.address+"', from: a@x.example, to: 'b@x.example, c@x.example', "+keys+"}", env)
	if err != nil {
		t.Fatal(err)
	}
	s := made.(*sender)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// batch is events of the given rules.
func batch(rules ...string) []event.Event {
	var all []event.Event
	for _, rule := range rules {
		e := outputstest.Plain()
		e.Rule, e.Output = rule, rule
		all = append(all, e)
	}
	return all
}

// subjects are the first words of the mails' subjects.
func subjects(mails []string) string {
	var all []string
	for _, m := range mails {
		_, rest, _ := strings.Cut(m, "Subject: [Error] ")
		first, _, _ := strings.Cut(rest, "\r\n")
		all = append(all, first)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}
