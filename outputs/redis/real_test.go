package redis

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

// program is Debian's Redis with the users admin and saker, and further settings.
func program(settings ...string) outputstest.Program {
	return outputstest.Program{
		Path: "/usr/bin/redis-server",
		Prepare: func(t *testing.T, address, dir string) {
			_, port, _ := strings.Cut(address, ":")
			lines := append([]string{
				"bind 127.0.0.1", "port " + port, "dir " + dir, `save ""`, "appendonly no",
				"user default off", "user admin on >" + password + " ~* +@all",
				"user saker on >" + password + " ~falco +rpush +hset +xadd +ltrim",
			}, settings...)
			text := strings.NewReplacer("DIR", dir, "PORT", port).Replace(strings.Join(lines, "\n") + "\n")
			if err := os.WriteFile(filepath.Join(dir, "redis.conf"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		Args: func(_, dir string) []string { return []string{filepath.Join(dir, "redis.conf")} },
		IsUp: outputstest.Accepts,
	}
}

func admin(t *testing.T, address string) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: address, Username: "admin", Password: password})
	t.Cleanup(func() { c.Close() })
	return c
}

func connect(t *testing.T, address, extra string) outputs.Sender {
	t.Helper()
	return open(t, fmt.Sprintf("{address: '%s', username: saker, password: %s%s}", address, password, extra))
}

// batch are all fixtures, each once.
func batch() (events []event.Event, texts []string) {
	for _, f := range outputstest.Events() {
		events = append(events, f.Event)
		texts = append(texts, string(f.Event.AppendJSON(nil)))
	}
	return events, texts
}

func TestRealRedisKeepsEveryEventInEachForm(t *testing.T) {
	address := outputstest.StartAddress(t, program())
	db := admin(t, address)
	events, texts := batch()
	for _, c := range []struct {
		form string
		read func() ([]string, error)
	}{
		{"list", func() ([]string, error) { return db.LRange(t.Context(), "falco", 0, -1).Result() }},
		{"hashmap", func() ([]string, error) {
			var all []string
			for _, e := range events {
				text, err := db.HGet(t.Context(), "falco", e.UUID).Result()
				if err != nil {
					return nil, err
				}
				all = append(all, text)
			}
			return all, nil
		}},
		{"stream", func() ([]string, error) {
			var all []string
			messages, err := db.XRange(t.Context(), "falco", "-", "+").Result()
			for _, m := range messages {
				all = append(all, fmt.Sprint(m.Values["event"]))
			}
			return all, err
		}},
	} {
		t.Run(c.form, func(t *testing.T) {
			db.Del(t.Context(), "falco")
			if err := connect(t, address, ", storagetype: "+c.form).Send(t.Context(), events); err != nil {
				t.Fatal(err)
			}
			got, err := c.read()
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, texts) {
				t.Errorf("got %d events that differ from the %d sent", len(got), len(texts))
			}
		})
	}
}

func TestRealRedisKeepsAtMostMaxlength(t *testing.T) {
	address := outputstest.StartAddress(t, program())
	db := admin(t, address)
	events, texts := batch()
	sender := connect(t, address, ", maxlength: 3")
	for range 2 {
		if err := sender.Send(t.Context(), events); err != nil {
			t.Fatal(err)
		}
	}
	if got := db.LRange(t.Context(), "falco", 0, -1).Val(); !slices.Equal(got, texts[len(texts)-3:]) {
		t.Errorf("got %d events, want the last 3", len(got))
	}
}

func TestRealRedisRefusesWhatTheUserMayNot(t *testing.T) {
	address := outputstest.StartAddress(t, program())
	if err := admin(t, address).Set(t.Context(), "falco", "a string", 0).Err(); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		fmt.Sprintf("{address: '%s', username: saker, password: wr0ng}", address):                       "WRONGPASS",
		fmt.Sprintf("{address: '%s'}", address):                                                         "NOAUTH",
		fmt.Sprintf("{address: '%s', username: saker, password: %s, key: other}", address, password):    "NOPERM",
		fmt.Sprintf("{address: '%s', username: saker, password: %s}", address, password):                "WRONGTYPE",
		fmt.Sprintf("{address: '%s', username: admin, password: %s, database: 999}", address, password): "DB index",
	} {
		err := open(t, text).Send(t.Context(), one)
		if !outputs.Held(err) || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("got %v, want %s held", err, want)
		}
		outputstest.NoSecretIn(t, "wr0ng", err)
	}
}

func TestRealRedisWithoutMemoryIsTriedAgainLater(t *testing.T) {
	address := outputstest.StartAddress(t, program("maxmemory 1", "maxmemory-policy noeviction"))
	sender := connect(t, address, "")
	err := sender.Send(t.Context(), one)
	if outputstest.OutcomeOf(err) != outputstest.NotNow || !strings.Contains(fmt.Sprint(err), "OOM") {
		t.Errorf("got %v", err)
	}
	if err := admin(t, address).ConfigSet(t.Context(), "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	if err := sender.Send(t.Context(), one); err != nil {
		t.Errorf("once there is memory: %v", err)
	}
}

func TestRealRedisThatEndedConnectionsIsFoundAgain(t *testing.T) {
	address := outputstest.StartAddress(t, program())
	db := admin(t, address)
	sender := connect(t, address, "")
	if err := sender.Send(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	if err := db.Do(t.Context(), "client", "kill", "user", "saker").Err(); err != nil {
		t.Fatal(err)
	}
	// The first one may still meet the connection that is gone.
	if err := sender.Send(t.Context(), one); err != nil {
		if err := sender.Send(t.Context(), one); err != nil {
			t.Fatal(err)
		}
	}
	if n := db.LLen(t.Context(), "falco").Val(); n != 2 {
		t.Errorf("there are %d events, want 2", n)
	}
}

func TestRealRedisWithTLSOnBothSides(t *testing.T) {
	ca := outputstest.NewCA(t)
	own := t.TempDir()
	put := func(name string, text []byte) string {
		path := filepath.Join(own, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	serverCert, serverKey := ca.Issue(t, "redis")
	clientCert, clientKey := ca.Issue(t, "saker")
	authorities, cert, key := put("ca.crt", ca.PEM), put("client.crt", clientCert), put("client.key", clientKey)
	p := program("tls-port PORT", "port 0", "tls-cert-file "+put("server.crt", serverCert),
		"tls-key-file "+put("server.key", serverKey), "tls-ca-cert-file "+authorities)
	address := outputstest.StartAddress(t, p)
	mutual := fmt.Sprintf(", mutualtls: true, certfile: %s, keyfile: %s, cacertfile: %s", cert, key, authorities)
	for extra, want := range map[string]bool{
		mutual: true,
		", tls: true, cacertfile: " + authorities:                              false, // without our certificate
		fmt.Sprintf(", mutualtls: true, certfile: %s, keyfile: %s", cert, key): false, // without the authority
		"": false,
	} {
		if err := connect(t, address, extra).Send(t.Context(), one); (err == nil) != want {
			t.Errorf("%s: got %v", extra, err)
		}
	}
}

func TestRealClusterIsFoundByOneAddress(t *testing.T) {
	address := outputstest.StartAddress(t, program("cluster-enabled yes", "cluster-config-file DIR/nodes.conf"))
	db := admin(t, address)
	if err := db.ClusterAddSlotsRange(t.Context(), 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	sender := open(t, fmt.Sprintf("{address: '%s', cluster: true, username: admin, password: %s}", address, password))
	events, texts := batch()
	// The cluster needs a moment to call itself whole, and says so until then.
	err := sender.Send(t.Context(), events)
	for range 200 {
		if err == nil || outputstest.OutcomeOf(err) != outputstest.NotNow {
			break
		}
		if db.Do(t.Context(), "cluster", "info").Err() != nil {
			break
		}
		err = sender.Send(t.Context(), events)
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := db.LRange(t.Context(), "falco", int64(-len(texts)), -1).Val(); !slices.Equal(got, texts) {
		t.Errorf("got %d events that differ", len(got))
	}
}
