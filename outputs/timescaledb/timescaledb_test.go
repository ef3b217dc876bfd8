package timescaledb

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

// database speaks PostgreSQL's protocol, and records what is inserted.
type database struct {
	listener net.Listener
	rows     chan string
	wg       sync.WaitGroup
}

func serve(t *testing.T) outputstest.Peer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &database{listener: l, rows: make(chan string, 1000)}
	d.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			d.wg.Go(func() {
				defer c.Close()
				if err := d.session(c); err != nil {
					t.Error(err)
				}
			})
		}
	})
	t.Cleanup(func() { l.Close(); d.wg.Wait() })
	return outputstest.Peer{Address: l.Addr().String(), Take: func(t *testing.T, n int) string {
		t.Helper()
		var text strings.Builder
		for i := range n {
			select {
			case row := <-d.rows:
				text.WriteString(row)
			case <-time.After(20 * time.Second):
				t.Fatalf("%d of %d rows came", i, n)
			}
		}
		return text.String()
	}}
}

// session serves one connection until the client leaves.
func (d *database) session(c net.Conn) error {
	b := pgproto3.NewBackend(c, c)
	for {
		start, err := b.ReceiveStartupMessage()
		if err != nil {
			return nil // it leaves
		}
		if _, ok := start.(*pgproto3.SSLRequest); !ok {
			break
		}
		if _, err := c.Write([]byte("N")); err != nil {
			return nil
		}
	}
	b.Send(&pgproto3.AuthenticationCleartextPassword{})
	if b.Flush() != nil {
		return nil
	}
	if err := b.SetAuthType(pgproto3.AuthTypeCleartextPassword); err != nil {
		return err
	}
	m, err := b.Receive()
	if err != nil {
		return nil
	}
	if p, ok := m.(*pgproto3.PasswordMessage); !ok || p.Password != "s3cret/@%" {
		return fmt.Errorf("the password is %+v", m)
	}
	b.Send(&pgproto3.AuthenticationOk{})
	b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	return d.statements(b)
}

func (d *database) statements(b *pgproto3.Backend) error {
	if b.Flush() != nil {
		return nil
	}
	var text string
	for {
		m, err := b.Receive()
		if err != nil {
			return nil
		}
		switch m := m.(type) {
		case *pgproto3.Parse:
			text = m.Query
			b.Send(&pgproto3.ParseComplete{})
		case *pgproto3.Bind:
			row := text + "\n"
			for _, p := range m.Parameters {
				if p == nil {
					row += "  NULL\n"
					continue
				}
				row += "  " + string(p) + "\n"
			}
			d.rows <- row
			b.Send(&pgproto3.BindComplete{})
		case *pgproto3.Describe:
			b.Send(&pgproto3.NoData{})
		case *pgproto3.Execute:
			b.Send(&pgproto3.CommandComplete{CommandTag: []byte("INSERT 0 1")})
		case *pgproto3.Sync:
			b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
			if b.Flush() != nil {
				return nil
			}
		case *pgproto3.Terminate:
			return nil
		}
	}
}

func Test(t *testing.T) {
	const login = "host: HOST, port: PORT, password: s3cret/@%, sslmode: "
	outputstest.Wire{
		Kind:     "timescaledb",
		Config:   "{" + login + "disable}",
		Secret:   "s3cret/@%",
		Serve:    serve,
		Variants: map[string]string{"table": "{" + login + "prefer, user: saker, database: a b, hypertablename: Security.Falco}"},
		Wrong: map[string]string{
			"{}":                                           "host",
			"{host: 'postgres://s3cret/@%@h'}":             "host: must be the name",
			"{host: h, port: x}":                           "port: must be a port",
			"{host: h, hypertablename: 'a; DROP'}":         "hypertablename: must be a name",
			"{host: h, sslmode: full}":                     "must be one of disable",
			"{host: h, sslmode: disable, mutualtls: true}": "mutualtls: needs an sslmode",
		},
	}.Run(t)
}

func TestCustomFieldsHaveColumns(t *testing.T) {
	e := outputstest.Plain()
	e.Fields = event.SortFields([]event.Field{
		{Name: "Cluster", Value: event.StringValue(`a "b"`)},
		{Name: "k8s.ns.name", Value: event.StringValue("x")},
		{Name: "k8s.zone", Value: event.StringValue("NULL")},
		{Name: "n", Value: event.NumberValue("1")},
	})
	e.Output = "a\x00b"
	text, values := statement("t", []string{"Cluster", "k8s.zone", "n"}, e)
	if want := `INSERT INTO "t" (time,rule,priority,source,output,tags,hostname,"cluster","k8s.zone") VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9)`; text != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
	if values[4] != "ab" || values[7] != "a b" || values[8] != nil {
		t.Errorf("values %q", values)
	}
}

func TestErrorsOfOtherKindsAreTriedAgain(t *testing.T) {
	if err := classify(errors.New("x")); outputs.Rejected(err) || outputs.Held(err) {
		t.Error("an error that is not the database's answer has a class")
	}
	if classify(nil) != nil {
		t.Error("no error has become one")
	}
}
