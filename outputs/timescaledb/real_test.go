package timescaledb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

const programs = "/usr/lib/postgresql/15/bin/"

// start starts PostgreSQL with a superuser of that name and no passwords.
func start(t *testing.T) (host, port string, admin *pgx.Conn) {
	t.Helper()
	address := outputstest.StartAddress(t, outputstest.Program{
		Path: programs + "postgres", User: "postgres",
		Prepare: func(t *testing.T, _, dir string) {
			init := exec.CommandContext(t.Context(), programs+"initdb", "-D", dir+"/data", "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8", "--locale=C")
			init.Dir = dir
			init.SysProcAttr = outputstest.As(t, "postgres")
			if out, err := init.CombinedOutput(); err != nil {
				t.Fatalf("initdb: %v\n%s", err, out)
			}
		},
		Args: func(address, dir string) []string {
			_, port, _ := strings.Cut(address, ":")
			return []string{"-D", dir + "/data", "-h", "127.0.0.1", "-p", port, "-k", dir, "-c", "fsync=off"}
		},
		IsUp: func(ctx context.Context, address string) error {
			c, err := pgx.Connect(ctx, "postgres://postgres@"+address+"/postgres?sslmode=disable")
			if err != nil {
				return err
			}
			return c.Close(ctx)
		},
	})
	admin, err := pgx.Connect(t.Context(), "postgres://postgres@"+address+"/postgres?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close(context.Background()) })
	host, port, _ = strings.Cut(address, ":")
	return host, port, admin
}

func TestRealPostgreSQL(t *testing.T) {
	outputstest.NoLeak(t)
	host, port, admin := start(t)
	env := outputstest.Env(t)
	env.CustomFields = []string{"k8s.ns.name"}
	open := func(t *testing.T, extra string) outputs.Sender {
		t.Helper()
		s, err := outputstest.New("timescaledb", fmt.Sprintf("{host: %s, port: %s, database: postgres%s}", host, port, extra), env)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.(io.Closer).Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	}
	exec := func(t *testing.T, text string) {
		t.Helper()
		if _, err := admin.Exec(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	count := func(t *testing.T) (n int) {
		t.Helper()
		if err := admin.QueryRow(t.Context(), "SELECT count(*) FROM falcosidekick_events").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	var batch []event.Event
	for _, f := range outputstest.Events() {
		batch = append(batch, f.Event)
	}

	t.Run("without a table or a database events wait", func(t *testing.T) {
		for _, extra := range []string{"", ", database: none", ", user: nobody"} {
			s, err := outputstest.New("timescaledb", fmt.Sprintf("{host: %s, port: %s%s}", host, port, strings.Replace(", database: postgres"+extra, ", database: postgres, database", ", database", 1)), env)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Send(t.Context(), batch); !outputs.Held(err) {
				t.Errorf("%q: %v is not held", extra, err)
			}
			_ = s.(io.Closer).Close()
		}
	})
	t.Run("a table is created and has every event", func(t *testing.T) {
		s := open(t, ", createtable: true")
		if err := s.Send(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		if n := count(t); n != len(batch) {
			t.Errorf("%d of %d events are in the table", n, len(batch))
		}
		e := outputstest.Plain()
		var rule, priority, output, tags, namespace string
		err := admin.QueryRow(t.Context(), `SELECT rule, priority, output, tags, "k8s.ns.name" FROM falcosidekick_events WHERE time = $1`, e.Time).
			Scan(&rule, &priority, &output, &tags, &namespace)
		// A column has microseconds.
		if errors.Is(err, pgx.ErrNoRows) {
			err = admin.QueryRow(t.Context(), `SELECT rule, priority, output, tags, "k8s.ns.name" FROM falcosidekick_events WHERE rule = $1 AND hostname = 'node-1' LIMIT 1`, e.Rule).
				Scan(&rule, &priority, &output, &tags, &namespace)
		}
		if err != nil || rule != e.Rule || priority != "Error" || output != e.Output || tags != "T1059,mitre_persistence" || namespace != "ns1" {
			t.Errorf("%v: %q %q %q %q %q", err, rule, priority, output, tags, namespace)
		}
	})
	t.Run("an event that a constraint refuses is the only one", func(t *testing.T) {
		exec(t, "TRUNCATE falcosidekick_events")
		exec(t, "ALTER TABLE falcosidekick_events ADD CONSTRAINT short CHECK (length(output) < 5000)")
		s := open(t, "")
		long := outputstest.Plain()
		long.Output = strings.Repeat("x", 6000)
		err := s.Send(t.Context(), []event.Event{outputstest.Plain(), long, outputstest.Plain()})
		failed, ok := errors.AsType[outputs.Partial](err)
		if !ok || len(failed) != 1 || !outputs.Rejected(failed[1]) {
			t.Errorf("send: %v", err)
		}
		if n := count(t); n != 2 {
			t.Errorf("%d events are in the table, want 2", n)
		}
		if err := s.Send(t.Context(), []event.Event{long}); !outputs.Rejected(err) {
			t.Errorf("alone: %v", err)
		}
	})
	t.Run("after the database ended connections it goes on", func(t *testing.T) {
		s := open(t, "")
		if err := s.Send(t.Context(), batch[:1]); err != nil {
			t.Fatal(err)
		}
		exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'saker'")
		outputstest.Eventually(t, "an event is inserted again", func() bool { return s.Send(t.Context(), batch[:1]) == nil })
	})
}
