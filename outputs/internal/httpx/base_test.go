package httpx

import (
	"strings"
	"testing"

	"github.com/saker-security/saker/config"
)

func TestABaseURLHasNeitherCredentialsNorAQuery(t *testing.T) {
	for address, want := range map[string]string{
		"http://h": "", "https://h:1/a/": "", "http://h/@x": "", "h:1": "must be a URL", "http://u:s3cret@h": "set user and key",
		"http://h/?a=s3cret": "without a query", "http://h?": "without a query",
	} {
		err := CheckBase(address, "user and key")
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret")) {
			t.Errorf("%s: got %v, want %q", address, err, want)
		}
	}
}

func TestUserAndPasswordComeTogether(t *testing.T) {
	password := config.NewSecret("p")
	for _, tc := range []struct {
		user     string
		password config.Secret
		want     string
	}{
		{"", config.Secret{}, ""}, {"u", password, ""}, {"u", config.Secret{}, "key: is required with name"}, {"", password, "name: is required with key"},
	} {
		err := CheckPair("name", tc.user, "key", tc.password)
		if (err == nil) != (tc.want == "") || err != nil && err.Error() != tc.want {
			t.Errorf("got %v, want %q", err, tc.want)
		}
	}
}
