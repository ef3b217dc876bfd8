package azureeventhub

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/saker-security/saker/config"
)

// access is a shared access policy, which proves itself with tokens signed by its key.
type access struct {
	host, hub string // of the connection string; hub may be empty
	name      string
	key       config.Secret
	signature config.Secret // a token that somebody has signed already, in place of name and key
	resource  string        // what tokens are for
}

// tokenLife is how long a token is good for, which leaves room for clocks that differ.
const tokenLife = time.Hour

func (p access) authorize(context.Context) (string, error) {
	if !p.signature.IsZero() {
		return p.signature.Reveal(), nil
	}
	return p.sign(time.Now().Add(tokenLife)), nil
}

// sign returns a token that ends at the given time.
func (p access) sign(end time.Time) string {
	resource, expiry := url.QueryEscape(p.resource), strconv.FormatInt(end.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(p.key.Reveal()))
	_, _ = mac.Write([]byte(resource + "\n" + expiry)) // a sum takes everything
	sum := url.QueryEscape(base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	return "SharedAccessSignature sr=" + resource + "&sig=" + sum + "&se=" + expiry + "&skn=" + url.QueryEscape(p.name)
}

// parseAccess reads a connection string:
// Endpoint=sb://HOST/;SharedAccessKeyName=NAME;SharedAccessKey=KEY;EntityPath=HUB. Its
// errors show nothing of it.
func parseAccess(text string) (access, error) {
	var p access
	if text == "" {
		return p, nil
	}
	for part := range strings.SplitSeq(strings.TrimSpace(text), ";") {
		if part == "" {
			continue
		}
		key, value, ok := strings.Cut(part, "=")
		if !ok {
			return access{}, errors.New("must be a connection string: Endpoint=sb://…;SharedAccessKeyName=…;SharedAccessKey=…")
		}
		switch strings.ToLower(strings.TrimSpace(key)) {
		case "endpoint":
			u, err := url.Parse(value)
			if err != nil || !hostName.MatchString(u.Hostname()) {
				return access{}, errors.New("must have an Endpoint of the form sb://NAME.servicebus.windows.net/")
			}
			p.host = u.Hostname()
		case "sharedaccesskeyname":
			p.name = value
		case "sharedaccesskey":
			p.key = config.NewSecret(value)
		case "sharedaccesssignature":
			p.signature = config.NewSecret(value)
		case "entitypath":
			p.hub = value
		}
	}
	return p, p.check()
}

func (p access) check() error {
	switch {
	case p.host == "":
		return errors.New("must have an Endpoint")
	case !p.signature.IsZero():
		if token := p.signature.Reveal(); !strings.HasPrefix(token, "SharedAccessSignature ") || strings.ContainsAny(token, "\r\n") {
			return errors.New("must have a SharedAccessSignature that begins with those words and a space")
		}
	case p.name == "" || p.key.IsZero():
		return errors.New("must have SharedAccessKeyName and SharedAccessKey")
	}
	return nil
}
