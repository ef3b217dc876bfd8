package otlpx_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	collogspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/otlpx"
	"github.com/saker-security/saker/outputs/internal/otlpx/otlptest"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func open(t *testing.T, c otlpx.Config, env outputs.Env) *otlpx.Client {
	t.Helper()
	client, err := otlpx.New(c, otlpx.Logs, env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return client
}

// serve starts a gRPC server for logs.
func serve(t *testing.T, options ...grpc.ServerOption) *otlptest.Server {
	t.Helper()
	return otlptest.Serve(t, otlptest.Signal{
		Method:  collogspb.LogsService_Export_FullMethodName,
		Request: &collogspb.ExportLogsServiceRequest{}, Response: &collogspb.ExportLogsServiceResponse{},
		Events: func(proto.Message) int { return 1 },
	}, options...)
}

func export(ctx context.Context, c *otlpx.Client) error {
	return c.Export(ctx, &collogspb.ExportLogsServiceRequest{}, &collogspb.ExportLogsServiceResponse{})
}

func TestEachCodeOfGRPCHasItsOutcome(t *testing.T) {
	outputstest.NoLeak(t)
	server := serve(t)
	var answer error
	server.Answer = func(proto.Message) (proto.Message, error) { return nil, answer }
	client := open(t, otlpx.Config{Endpoint: "http://" + server.Address, Protocol: "grpc", CheckCert: true, Headers: config.NewSecret("a=s3cret")}, outputstest.Env(t))
	want := map[codes.Code]outputstest.Outcome{
		codes.InvalidArgument: outputstest.Rejected, codes.OutOfRange: outputstest.Rejected,
		codes.Unauthenticated: outputstest.Held, codes.PermissionDenied: outputstest.Held,
		codes.Unimplemented: outputstest.Held, codes.NotFound: outputstest.Held,
	}
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		answer = status.Error(code, "because of s3cret")
		err := export(t.Context(), client)
		outcome, ok := want[code]
		if !ok {
			outcome = outputstest.NotNow
		}
		if got := outputstest.OutcomeOf(err); got != outcome {
			t.Errorf("%v is %q (%v), want %q", code, got, err, outcome)
		}
		outputstest.NoSecret(t, "s3cret", fmt.Sprint(err))
	}
	busy, err := status.New(codes.ResourceExhausted, "busy").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(7 * time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	answer = busy.Err()
	if d := outputs.Delay(export(t.Context(), client)); d != 7*time.Second {
		t.Errorf("the pause is %v", d)
	}
}

func TestARequestTooLargeForGRPCIsRejected(t *testing.T) {
	client := open(t, otlpx.Config{Endpoint: "http://127.0.0.1:1", Protocol: "grpc", CheckCert: true}, outputstest.Env(t))
	big := &statuspb.Status{Message: strings.Repeat("x", 5<<20)}
	if err := client.Export(t.Context(), big, &collogspb.ExportLogsServiceResponse{}); !outputs.Rejected(err) {
		t.Errorf("got %v", err)
	}
}

func TestTheTextOfAnErrorOverHTTPIsRead(t *testing.T) {
	outputstest.NoLeak(t)
	var said string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		body, err := proto.Marshal(&statuspb.Status{Code: 3, Message: said})
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write(body)
	}))
	t.Cleanup(s.Close)
	client := open(t, otlpx.Config{Endpoint: s.URL, CheckCert: true, Headers: config.NewSecret("authorization=Bearer%20s3cretToken")}, outputstest.Env(t))
	for _, c := range []struct{ said, want string }{
		{"the time is missing", "the time is missing"},
		{"who is s3cretToken?", "400"},
	} {
		said = c.said
		err := export(t.Context(), client)
		if !outputs.Rejected(err) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v", err)
		}
		outputstest.NoSecret(t, "s3cretToken", fmt.Sprint(err))
	}
}

func TestAnAnswerSaysWhatItRefused(t *testing.T) {
	var log bytes.Buffer
	env := outputstest.Env(t)
	env.Log = slog.New(slog.NewTextHandler(&log, nil))
	client := open(t, otlpx.Config{Endpoint: "http://h", CheckCert: true}, env)
	if err := client.Partial(2, "too\nold", 5, "spans"); !outputs.Rejected(err) || err.Error() != "the endpoint refused 2 of 5 spans: too old" {
		t.Errorf("got %v", err)
	}
	for range 3 {
		if err := client.Partial(0, "use the other path", 5, "spans"); err != nil {
			t.Errorf("a remark is an error: %v", err)
		}
	}
	if n := strings.Count(log.String(), "use the other path"); n != 1 {
		t.Errorf("the remark was logged %d times", n)
	}
}

func TestTLSFollowsSchemeAndKeys(t *testing.T) {
	outputstest.NoLeak(t)
	ca := outputstest.NewCA(t)
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, ca.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	cert, key := ca.Issue(t, "server")
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	settings := &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	secure := serve(t, grpc.Creds(credentials.NewTLS(settings)))
	plain := serve(t)
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	web.TLS = settings.Clone()
	web.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	web.StartTLS()
	t.Cleanup(web.Close)
	webPlain := httptest.NewServer(web.Config.Handler)
	t.Cleanup(webPlain.Close)

	trusted := otlpx.Variables{"OTEL_EXPORTER_OTLP_CERTIFICATE": config.NewSecret(file)}
	for _, c := range []struct {
		what    string
		address string
		config  otlpx.Config
		works   bool
	}{
		{"https with a trusted authority", "https", otlpx.Config{CheckCert: true, ExtraEnvVars: trusted}, true},
		{"https with an unknown authority", "https", otlpx.Config{CheckCert: true}, false},
		{"tls without checkcert", "https", otlpx.Config{TLS: true}, true},
		{"tls without checkcert, whatever the scheme", "http", otlpx.Config{TLS: true}, true},
		{"neither: plaintext to TLS", "https", otlpx.Config{}, false},
	} {
		for protocol, address := range map[string]string{"grpc": secure.Address, "http/protobuf": web.Listener.Addr().String()} {
			c.config.Protocol, c.config.Endpoint, c.config.Proxy = protocol, c.address+"://"+address, config.NewSecret("none")
			err := export(t.Context(), open(t, c.config, outputstest.Env(t)))
			if (err == nil) != c.works {
				t.Errorf("%s, %s: %v", c.what, protocol, err)
			}
		}
	}
	for protocol, address := range map[string]string{"grpc": plain.Address, "http/protobuf": webPlain.Listener.Addr().String()} {
		for _, c := range []otlpx.Config{
			{Endpoint: "http://" + address, CheckCert: true, TLS: true},
			{Endpoint: "https://" + address},
			{Endpoint: "https://" + address, CheckCert: true, ExtraEnvVars: otlpx.Variables{"OTEL_EXPORTER_OTLP_INSECURE": config.NewSecret("true")}},
		} {
			c.Protocol, c.Proxy = protocol, config.NewSecret("none")
			if err := export(t.Context(), open(t, c, outputstest.Env(t))); err != nil {
				t.Errorf("plaintext, %s, %+v: %v", protocol, c, err)
			}
		}
	}
}

func TestSettingsWithoutEffectAreToldOf(t *testing.T) {
	var log bytes.Buffer
	env := outputstest.Env(t)
	env.Log = slog.New(slog.NewTextHandler(&log, nil))
	open(t, otlpx.Config{Endpoint: "http://h", CheckCert: true, TLS: true, ExtraEnvVars: otlpx.Variables{"OTEL_SDK_DISABLED": config.NewSecret("s3cret")}}, env)
	for _, want := range []string{"OTEL_SDK_DISABLED", "plaintext in spite of tls"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%q is not in the log: %s", want, log.String())
		}
	}
	outputstest.NoSecret(t, "s3cret", log.String())
}

func TestAClosedClientSendsNothing(t *testing.T) {
	client := open(t, otlpx.Config{Endpoint: "http://127.0.0.1:1", Protocol: "grpc", CheckCert: true}, outputstest.Env(t))
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	if err := export(t.Context(), client); err == nil {
		t.Error("there is no error")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := export(ctx, client); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
