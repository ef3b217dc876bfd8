package journal_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/forwarder/journal"
)

func TestTheDefaultsOfTheTagsAreTheDefaultConfig(t *testing.T) {
	var c journal.Config
	if _, err := config.Load(config.Source{}, config.Section{Path: "journal", Into: []any{&c}}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(journal.DefaultConfig(), c, cmp.AllowUnexported(config.Secret{})); diff != "" {
		t.Error(diff)
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	if c.Remote() {
		t.Error("the default is a NATS cluster")
	}
}

func TestAConfigThatCannotWorkIsRefusedAndSaysWhichKey(t *testing.T) {
	const plain = "s3cret"
	secret := config.NewSecret(plain)
	type change func(*journal.Config)
	at := func(url string, more ...change) change {
		return func(c *journal.Config) {
			c.URL = config.NewSecret(url)
			for _, f := range more {
				f(c)
			}
		}
	}
	user := func(c *journal.Config) { c.Username, c.Password = "u", secret }
	for name, c := range map[string]struct {
		change change
		want   string
	}{
		"too few bytes":        {func(c *journal.Config) { c.MaxBytes = 1 << 20 }, "maxbytes: must be at least 16MiB"},
		"too short an age":     {func(c *journal.Config) { c.MaxAge = time.Second }, "maxage: must be at least 1m"},
		"an unknown sync":      {func(c *journal.Config) { c.Sync = "never" }, "sync: must be one of"},
		"no duplicate window":  {func(c *journal.Config) { c.DuplicateWindow = 0 }, "duplicatewindow: must be at least"},
		"a window beyond age":  {func(c *journal.Config) { c.DuplicateWindow = 2 * c.MaxAge }, "duplicatewindow: must be at least"},
		"a negative reserve":   {func(c *journal.Config) { c.MinFree = -1 }, "minfree: must not be negative"},
		"too few dead bytes":   {func(c *journal.Config) { c.DeadLetters.MaxBytes = 0 }, "deadletters.maxbytes: must be"},
		"too short a dead age": {func(c *journal.Config) { c.DeadLetters.MaxAge = 0 }, "deadletters.maxage: must be"},
		"two replicas":         {func(c *journal.Config) { c.Replicas = 2 }, "replicas: must be 1, 3 or 5"},
		"a name with a dot":    {func(c *journal.Config) { c.Stream = "a.b" }, "stream: must have 1 to 32"},
		"no name":              {func(c *journal.Config) { c.Stream = "" }, "stream: must have 1 to 32"},
		"a user and no url":    {user, "url: must be set"},
		"TLS and no url":       {func(c *journal.Config) { c.TLS.CACertFile = "ca.pem" }, "url: must be set"},
		"another scheme":       {at("http://u:" + plain + "@a:4222"), "url: must begin with nats:// or tls://"},
		"no scheme":            {at("nats-0:4222"), "url: must begin with nats:// or tls://"},
		"no address":           {at("nats://u:" + plain + "@a:x4222"), "url: must be addresses"},
		"no host":              {at("nats://u:" + plain + "@:4222"), "url: must have a host"},
		"a path":               {at("nats://a:4222/" + plain), "url: must have a host"},
		"an empty address":     {at("nats://a,,nats://b"), "url: must begin with"},
		"different users":      {at("nats://u:" + plain + "@a,nats://u:other@b"), "url: must name the same user"},
		"two kinds of users":   {at("nats://"+plain+"@a", user), "url: must come with at most one of"},
		"a file and a token":   {at("nats://a", func(c *journal.Config) { c.Credentials, c.Token = "x.creds", secret }), "url: must come with at most one of"},
		"a user, no password":  {at("nats://a", func(c *journal.Config) { c.Username = "u" }), "password: must be set together"},
		"a password, no user":  {at("nats://a", func(c *journal.Config) { c.Password = secret }), "password: must be set together"},
		"a key alone":          {at("tls://a", func(c *journal.Config) { c.TLS.KeyFile = "x" }), "tls.keyfile: must be set together"},
	} {
		cfg := journal.DefaultConfig()
		c.change(&cfg)
		err := cfg.Validate()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if shown := fmt.Sprintf("%v %+v", err, cfg); strings.Contains(shown, plain) {
			t.Errorf("%s: the secret shows: %s", name, shown)
		}
	}
}

func TestServersAreSeparatedFromTheUser(t *testing.T) {
	for text, want := range map[string][]string{
		"nats://a":                               {"nats://a"},
		"nats://u:p@a:1, tls://u:p@[::1]:2":      {"nats://a:1", "tls://[::1]:2", "u:p"},
		"tls://token@a:4222,tls://token@b:4222/": {"tls://a:4222", "tls://b:4222", "token"},
	} {
		c := journal.DefaultConfig()
		c.URL = config.NewSecret(text)
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		got, user, err := c.Servers()
		if user != nil {
			got = append(got, user.String())
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v, want %q", text, got, err, want)
		}
	}
}

func FuzzServers(f *testing.F) {
	f.Add("nats://u:p@a:1,tls://b")
	f.Add("%")
	f.Add("nats://%zz@a")
	f.Fuzz(func(t *testing.T, text string) {
		c := journal.DefaultConfig()
		c.URL = config.NewSecret(text)
		addresses, user, err := c.Servers()
		if err != nil {
			return
		}
		for _, a := range addresses {
			if user.String() != "" && strings.Contains(a, "@") {
				t.Errorf("%q leaves the user in %q", text, a)
			}
		}
	})
}
