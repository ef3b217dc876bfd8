package httpx

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/saker-security/saker/config"
)

// CheckBase is CheckURL for a base URL that paths are appended to and that is shown: it has
// no query and no credentials. For the latter, keys says what to set instead.
func CheckBase(address, keys string) error {
	if err := CheckURL(address); err != nil {
		return err
	}
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return errors.New("must be a URL")
	case u.User != nil:
		return fmt.Errorf("must be a URL without user and password; set %s", keys)
	case u.RawQuery != "" || u.ForceQuery:
		return errors.New("must be a URL without a query")
	}
	return nil
}

// Join returns a base URL with a path, which begins with /, behind it.
func Join(base, path string) string { return strings.TrimRight(base, "/") + path }

// CheckPair reports that of a user and a password, named by their keys, only one is set.
func CheckPair(userKey, user, passwordKey string, password config.Secret) error {
	switch {
	case user != "" && password.IsZero():
		return config.At(passwordKey, fmt.Errorf("is required with %s", userKey))
	case user == "" && !password.IsZero():
		return config.At(userKey, fmt.Errorf("is required with %s", passwordKey))
	}
	return nil
}
