package trace

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
)

func TestACollectorThatHangsDisturbsNothing(t *testing.T) {
	called := make(chan struct{}, 10)
	hang := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		_, _ = io.Copy(io.Discard, q.Body) // or the server would not see the client leave
		called <- struct{}{}
		<-q.Context().Done()
	}))
	defer hang.Close()
	traces := tracer(t, settings(hang.URL))
	in := traces.Ingest(&flow{})
	e := []event.Event{{UUID: uuid.NewString(), Rule: "r"}}
	for range batchSpans {
		in.Accepted(e, "", 0)
	}
	<-called
	const more = queueSpans + 1000
	for range more {
		in.Accepted(e, "", 0)
	}
	if n := len(traces.queue.spans); n != queueSpans {
		t.Errorf("%d spans wait", n)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_ = traces.Close(ctx)
	in.Accepted(e, "", 0)
	if exported, dropped := traces.Counts(); exported != 0 || dropped != batchSpans+more && dropped != batchSpans+more+1 {
		t.Errorf("%d spans were exported and %d dropped, of %d", exported, dropped, batchSpans+more+1)
	}
}

func TestWhatWaitsIsSentAtTheEnd(t *testing.T) {
	r := receive(t)
	traces := tracer(t, settings(r.URL))
	in := traces.Ingest(&flow{})
	const all = 3*batchSpans + 7
	for range all {
		in.Accepted([]event.Event{{UUID: uuid.NewString(), Rule: "r"}}, "", 0)
	}
	closed(t, traces)
	if exported, dropped := traces.Counts(); exported != all || dropped != 0 || len(r.spans) != all {
		t.Errorf("%d exported, %d dropped, %d received", exported, dropped, len(r.spans))
	}
	in.Accepted([]event.Event{{UUID: uuid.NewString(), Rule: "r"}}, "", 0)
	closed(t, traces)
}

func TestACollectorsAnswerIsLoggedWithoutTheSecretInIt(t *testing.T) {
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		http.Error(w, "you sent "+q.Header.Get("Authorization")+strings.Repeat("!", 1000), http.StatusUnauthorized)
	}))
	defer echo.Close()
	var log bytes.Buffer
	c := settings(echo.URL)
	c.Headers = map[string]config.Secret{"Authorization": config.NewSecret("Bearer s3cret")}
	traces, err := New(c, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	traces.Ingest(&flow{}).Accepted([]event.Event{{UUID: uuid.NewString(), Rule: "r"}}, "", 0)
	closed(t, traces)
	text := log.String()
	if !strings.Contains(text, "the collector of traces does not take them") || !strings.Contains(text, "401") {
		t.Errorf("the log is %s", text)
	}
	if strings.Contains(text, "s3cret") || len(text) > 600 {
		t.Errorf("the log is %s", text)
	}
	if exported, dropped := traces.Counts(); exported != 0 || dropped != 1 {
		t.Errorf("%d exported, %d dropped", exported, dropped)
	}
}

func TestMistakesInTheConfigurationAreFound(t *testing.T) {
	for _, tc := range []struct {
		change func(*Config)
		want   string
	}{
		{func(*Config) {}, ""},
		{func(c *Config) { c.Endpoint, c.SampleRatio = "", 7 }, ""},
		{func(c *Config) { c.Endpoint = "collector:4318" }, "endpoint: must be a URL such as http://collector:4318"},
		{func(c *Config) { c.Endpoint = "grpc://collector:4317" }, "endpoint: must be a URL such as http://collector:4318"},
		{func(c *Config) { c.Endpoint = "https://u:s3cret@h" }, "endpoint: must not have a user name or password: put them into tracing.headers"},
		{func(c *Config) { c.Endpoint = "https://h?token=s3cret" }, "endpoint: must have no query and no fragment"},
		{func(c *Config) { c.SampleRatio = 0 }, "sampleratio: must be above 0 and at most 1"},
		{func(c *Config) { c.SampleRatio = 1.1 }, "sampleratio: must be above 0 and at most 1"},
		{func(c *Config) { c.ServiceName = "" }, "servicename: must not be empty"},
		{func(c *Config) { c.Headers = map[string]config.Secret{"a b": config.NewSecret("x")} }, `headers: "a b" is no name of a header`},
		{func(c *Config) { c.Headers = map[string]config.Secret{"a": config.NewSecret("s3\ncret")} }, `headers: the value of header "a" has a character that no header may have`},
	} {
		c := settings("https://collector:4318")
		tc.change(&c)
		got := ""
		if err := c.Validate(); err != nil {
			got = err.Error()
		}
		if got != tc.want {
			t.Errorf("got %q, want %q", got, tc.want)
		}
	}
}

func TestAnAuthorityThatCannotBeReadIsAnError(t *testing.T) {
	c := settings("https://collector:4318")
	c.CACertFile = filepath.Join(t.TempDir(), "none.crt")
	if _, err := New(c, Options{}); err == nil || !strings.Contains(err.Error(), "none.crt") {
		t.Errorf("got %v", err)
	}
}

func TestACollectorBehindTLSIsVerified(t *testing.T) {
	for _, check := range []bool{true, false} {
		secure := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
		c := settings(secure.URL)
		c.CheckCert = check
		traces := tracer(t, c)
		traces.Ingest(&flow{}).Accepted([]event.Event{{UUID: uuid.NewString(), Rule: "r"}}, "", 0)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		_ = traces.Close(ctx)
		cancel()
		if exported, _ := traces.Counts(); (exported == 1) == check {
			t.Errorf("with checkcert %v %d spans were exported", check, exported)
		}
		secure.Close()
	}
}

func BenchmarkAcceptedTraced(b *testing.B) {
	for name, ratio := range map[string]float64{"all": 1, "one in a thousand": 0.001} {
		b.Run(name, func(b *testing.B) {
			c := settings("http://127.0.0.1:1")
			c.SampleRatio = ratio
			traces, err := New(c, Options{Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				b.Fatal(err)
			}
			in := traces.Ingest(&flow{})
			b.ReportAllocs()
			for b.Loop() {
				in.Accepted([]event.Event{{UUID: uuid.NewString(), Rule: "r"}}, "", 0)
			}
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			_ = traces.Close(ctx)
		})
	}
}
