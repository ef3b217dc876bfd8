package journal

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/saker-security/saker/config"
)

// Remote reports whether the journal is on a NATS cluster.
func (c Config) Remote() bool { return !c.URL.IsZero() }

// Servers returns the addresses in c.URL without what they say about the user, and that
// apart; user is nil when they say nothing. No error shows any of it.
func (c Config) Servers() (addresses []string, user *url.Userinfo, err error) {
	for i, text := range strings.Split(c.URL.Reveal(), ",") {
		u, err := url.Parse(strings.TrimSpace(text))
		switch {
		case err != nil:
			return nil, nil, fmt.Errorf("must be addresses such as nats://host:4222 with commas between them; number %d isn't one", i+1)
		case u.Scheme != "nats" && u.Scheme != "tls":
			return nil, nil, fmt.Errorf("must begin with nats:// or tls://, in each of its addresses; number %d doesn't", i+1)
		case u.Hostname() == "", u.Path != "" && u.Path != "/", u.RawQuery != "", u.Fragment != "":
			return nil, nil, fmt.Errorf("must have a host, and a port if it isn't 4222, and nothing behind it in each of its addresses; number %d differs", i+1)
		case i > 0 && u.User.String() != user.String():
			return nil, nil, fmt.Errorf("must name the same user in each of its addresses; number %d differs", i+1)
		}
		user = u.User
		addresses = append(addresses, u.Scheme+"://"+u.Host)
	}
	return addresses, user, nil
}

// validateRemote reports all settings for a NATS cluster that cannot work.
func (c Config) validateRemote() error {
	var all []error
	problem := func(key, text string) { all = append(all, config.At(key, errors.New(text))) }

	ways := 0
	for _, set := range []bool{c.Username != "" || !c.Password.IsZero(), !c.Token.IsZero(), c.Credentials != "", c.NKey != ""} {
		if set {
			ways++
		}
	}
	if (c.Username == "") != c.Password.IsZero() {
		problem("password", "must be set together with journal.username")
	}
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		problem("tls.keyfile", "must be set together with journal.tls.certfile")
	}
	if !c.Remote() {
		if ways > 0 || c.TLS != (TLSConfig{}) {
			problem("url", "must be set: the settings for a NATS cluster have no meaning without it")
		}
		return errors.Join(all...)
	}
	_, user, err := c.Servers()
	if err != nil {
		all = append(all, config.At("url", err))
	}
	if user != nil {
		ways++
	}
	if ways > 1 {
		problem("url", "must come with at most one of a user in the url, journal.username, journal.token, journal.credentials and journal.nkey")
	}
	return errors.Join(all...)
}
