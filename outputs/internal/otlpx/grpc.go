package otlpx

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/encoding/gzip" // the compressor called gzip
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
	"github.com/saker-security/saker/outputs/internal/tlsx"
)

const (
	// maxMessage is the largest message that gRPC servers take unless they are told
	// otherwise, in bytes.
	maxMessage = 4 << 20
	// maxPause bounds the time before a broken connection is tried again. Between attempts
	// deliver pauses, too.
	maxPause = 5 * time.Second
	// connectTime is the least time that a connection may take.
	connectTime = 10 * time.Second
)

// grpcExporter sends OTLP over gRPC.
type grpcExporter struct {
	target  string
	method  string
	options []grpc.DialOption
	headers []string // names and values in turn
	secrets []string

	mu     sync.Mutex
	conn   *connection // nil before the first request, and after one that hung
	closed bool
}

type connection struct {
	*grpc.ClientConn
	// answered is when the endpoint last answered, in nanoseconds since 1970.
	answered atomic.Int64
}

func newGRPC(c Config, s Signal, v settings, headers http.Header, compress bool, env outputs.Env) (exporter, error) {
	u, err := url.Parse(c.Endpoint)
	if err != nil {
		return nil, errors.New("endpoint is not a URL")
	}
	creds := insecure.NewCredentials()
	if !c.plaintext(v) {
		source, err := tlsSource(c, v, env)
		if err != nil {
			return nil, err
		}
		creds = &renewing{credentials.NewTLS(source.Config().Clone()), source}
	}
	x := &grpcExporter{target: u.Host, method: s.method, secrets: secretsOf(headers)}
	x.options = []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithUserAgent(env.UserAgent),
		grpc.WithDisableServiceConfig(),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 2, Jitter: 0.2, MaxDelay: maxPause},
			MinConnectTimeout: connectTime,
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)),
	}
	if c.Proxy.Reveal() == "none" {
		x.options = append(x.options, grpc.WithNoProxy())
	}
	if compress {
		x.options = append(x.options, grpc.WithDefaultCallOptions(grpc.UseCompressor("gzip")))
	}
	for name, values := range headers {
		for _, value := range values {
			x.headers = append(x.headers, strings.ToLower(name), value)
		}
	}
	return x, nil
}

func (x *grpcExporter) export(ctx context.Context, request, answer proto.Message) error {
	if n := proto.Size(request); n > maxMessage {
		return outputs.Reject(fmt.Errorf("the request has %d bytes, a gRPC server takes %d", n, maxMessage))
	}
	conn, err := x.connect()
	if err != nil {
		return err
	}
	began := time.Now().UnixNano()
	err = conn.Invoke(metadata.AppendToOutgoingContext(ctx, x.headers...), x.method, request, answer)
	switch status.Code(err) {
	case codes.DeadlineExceeded, codes.Canceled:
		if conn.answered.Load() < began {
			x.drop(conn)
		}
	case codes.Unavailable:
	default:
		conn.answered.Store(time.Now().UnixNano())
	}
	if err == nil {
		return nil
	}
	return callError(err, x.secrets)
}

// connect returns the connection, which connects when it is used.
func (x *grpcExporter) connect() (*connection, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		return nil, net.ErrClosed
	}
	if x.conn == nil {
		c, err := grpc.NewClient(x.target, x.options...)
		if err != nil {
			return nil, fmt.Errorf("connect to the endpoint: %w", err)
		}
		x.conn = &connection{ClientConn: c}
	}
	if x.conn.GetState() == connectivity.TransientFailure {
		x.conn.ResetConnectBackoff()
	}
	return x.conn, nil
}

// drop closes a connection that nothing came over while a request waited, so that the next
// one finds another way.
func (x *grpcExporter) drop(conn *connection) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.conn == conn {
		x.conn = nil
		_ = conn.Close()
	}
}

func (x *grpcExporter) close() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.closed = true
	if x.conn == nil {
		return nil
	}
	err := x.conn.Close()
	x.conn = nil
	return err
}

// callError is the error for a call that failed.
func callError(err error, secrets []string) error {
	s := status.Convert(err)
	said := s.Message()
	for _, secret := range secrets {
		said = strings.ReplaceAll(said, secret, "[hidden]")
	}
	text := "the endpoint answered " + s.Code().String()
	if s.Code() == codes.Unavailable {
		text = "the endpoint cannot be reached"
	}
	if said = httpx.OneLine(said); said != "" {
		text += ": " + said
	}
	clean := errors.New(text)
	switch s.Code() {
	case codes.InvalidArgument, codes.OutOfRange:
		return outputs.Reject(clean)
	case codes.Unauthenticated, codes.PermissionDenied, codes.Unimplemented, codes.NotFound:
		return outputs.Hold(clean)
	case codes.Canceled, codes.DeadlineExceeded:
		return fmt.Errorf("%s: %w", text, contextError(s.Code()))
	}
	for _, detail := range s.Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok && info.GetRetryDelay().AsDuration() > 0 {
			return outputs.RetryAfter(min(info.GetRetryDelay().AsDuration(), time.Hour), clean)
		}
	}
	return clean
}

func contextError(code codes.Code) error {
	if code == codes.Canceled {
		return context.Canceled
	}
	return context.DeadlineExceeded
}

// renewing are TLS credentials that ask for the settings at each connect, so that new
// certificate files count.
type renewing struct {
	credentials.TransportCredentials
	source *tlsx.Source
}

// ClientHandshake implements credentials.TransportCredentials.
func (r *renewing) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return credentials.NewTLS(r.source.Config().Clone()).ClientHandshake(ctx, authority, raw)
}

// Clone implements credentials.TransportCredentials.
func (r *renewing) Clone() credentials.TransportCredentials {
	return &renewing{r.TransportCredentials.Clone(), r.source}
}
