// Package otlptest has what the tests of the OTLP outputs share: the text of requests for
// golden files, and a gRPC server that takes requests of one signal.
package otlptest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/saker-security/saker/outputs/internal/outputstest"
)

// patience is how long a test waits for what ought to happen at once.
const patience = 20 * time.Second

// Text returns a request as indented JSON, and as it is what is no request of m's type.
func Text(m proto.Message, body string) string {
	m = proto.Clone(m)
	proto.Reset(m)
	if body == "" || body[0] != 0x0a || proto.Unmarshal([]byte(body), m) != nil {
		return body
	}
	return JSON(m)
}

// JSON returns m as indented JSON that is the same in each run.
func JSON(m proto.Message) string {
	text, err := protojson.Marshal(m)
	if err != nil {
		return err.Error()
	}
	var b bytes.Buffer
	if err := json.Indent(&b, text, "", "  "); err != nil {
		return err.Error()
	}
	return b.String() + "\n"
}

// Accept returns the answer of an endpoint that accepts requests of m's type and refuses
// what is none, or has another content type.
func Accept(m proto.Message) func(http.ResponseWriter, *http.Request, []byte) {
	return func(w http.ResponseWriter, r *http.Request, body []byte) {
		m := proto.Clone(m)
		if r.Header.Get("Content-Type") != "application/x-protobuf" {
			http.Error(w, "not protobuf", http.StatusUnsupportedMediaType)
			return
		}
		if r.Header.Get("Content-Encoding") == "gzip" {
			body = gunzip(body)
		}
		if len(body) == 0 || proto.Unmarshal(body, m) != nil {
			http.Error(w, "not a request", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}
}

// Server is a gRPC server for one method.
type Server struct {
	// Address is where it listens, host:port.
	Address string
	// Answer, if set, is the answer in place of an empty one.
	Answer func(request proto.Message) (proto.Message, error)

	mu       sync.Mutex
	requests []string
	events   int
	arrived  chan struct{}
}

// Signal is what a Server takes.
type Signal struct {
	// Method is the full name of the gRPC method.
	Method            string
	Request, Response proto.Message
	// Events counts the events of a request.
	Events func(request proto.Message) int
}

// Serve starts a server for s, with creds if there are any. It lives until the test ends.
func Serve(t *testing.T, s Signal, options ...grpc.ServerOption) *Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	out := &Server{Address: l.Addr().String(), arrived: make(chan struct{}, 1)}
	handle := func(_ any, stream grpc.ServerStream) error {
		method, _ := grpc.MethodFromServerStream(stream)
		if method != s.Method {
			return fmt.Errorf("the method is %s", method)
		}
		request := proto.Clone(s.Request)
		if err := stream.RecvMsg(request); err != nil {
			return err
		}
		answer := proto.Clone(s.Response)
		if out.Answer != nil {
			var err error
			if answer, err = out.Answer(request); err != nil {
				return err
			}
		}
		out.keep(stream.Context(), request, s.Events(request))
		return stream.SendMsg(answer)
	}
	server := grpc.NewServer(append(options, grpc.UnknownServiceHandler(handle))...)
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() {
		server.Stop()
		wg.Wait()
	})
	return out
}

func (s *Server) keep(ctx context.Context, request proto.Message, events int) {
	md, _ := metadata.FromIncomingContext(ctx)
	var text strings.Builder
	for _, name := range []string{"authorization", "x-scope", "grpc-encoding"} {
		for _, v := range md.Get(name) {
			text.WriteString(name + ": " + v + "\n")
		}
	}
	s.mu.Lock()
	s.requests = append(s.requests, text.String()+JSON(request))
	s.events += events
	s.mu.Unlock()
	select {
	case s.arrived <- struct{}{}:
	default:
	}
}

// Take waits until n events have arrived since the last call and returns the requests.
func (s *Server) Take(t *testing.T, n int) string {
	t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		s.mu.Lock()
		if s.events >= n {
			var text bytes.Buffer
			for _, r := range s.requests {
				text.WriteString(r)
			}
			s.requests, s.events = nil, 0
			s.mu.Unlock()
			return text.String()
		}
		s.mu.Unlock()
		select {
		case <-s.arrived:
		case <-timeout.C:
			t.Fatalf("waited %v for %d events", patience, n)
		}
	}
}

// Peer is the server for a Wire test.
func (s *Server) Peer() outputstest.Peer { return outputstest.Peer{Address: s.Address, Take: s.Take} }

var observed = regexp.MustCompile(`"(observedTimeUnixNano|startTimeUnixNano|timeUnixNano)": "[0-9]+"`)

// WithoutNow replaces the times of sending in a request's text: those named in a metric's
// points, or a log record's observed time only.
func WithoutNow(text string, all bool) string {
	return observed.ReplaceAllStringFunc(text, func(s string) string {
		name := observed.FindStringSubmatch(s)[1]
		if !all && name != "observedTimeUnixNano" {
			return s
		}
		return `"` + name + `": "(now)"`
	})
}
