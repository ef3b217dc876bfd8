package otlpx

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"

	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

const (
	// maxAnswer is the longest answer that is read, in bytes.
	maxAnswer = 4 << 20
	protobuf  = "application/x-protobuf"
)

// httpExporter sends OTLP over HTTP.
type httpExporter struct {
	client  *http.Client
	address string
	header  http.Header
	secrets []string
	gzip    bool
}

func newHTTP(c Config, v settings, headers http.Header, compress bool, env outputs.Env) (exporter, error) {
	u, err := url.Parse(c.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("endpoint is not a URL")
	}
	u.Scheme = "https"
	if c.plaintext(v) {
		u.Scheme = "http"
	}
	settings, env := httpConfig(c, v, env)
	client, err := httpx.New(settings, env)
	if err != nil {
		return nil, err
	}
	header := maps.Clone(headers)
	if header == nil {
		header = http.Header{}
	}
	header.Set("Content-Type", protobuf)
	if compress {
		header.Set("Content-Encoding", "gzip")
	}
	return &httpExporter{client, u.String(), header, secretsOf(headers), compress}, nil
}

func (x *httpExporter) export(ctx context.Context, request, answer proto.Message) error {
	body, err := proto.Marshal(request)
	if err != nil {
		return outputs.Reject(fmt.Errorf("encode request: %w", err))
	}
	if x.gzip {
		if body, err = compressed(body); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, x.address, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make request: %w", httpx.CleanError(err))
	}
	req.Header = x.header.Clone()
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	res, err := httpx.Exchange(x.client, req, maxAnswer, x.secrets...) //nolint:bodyclose // it has been read whole
	if err != nil {
		return err
	}
	said, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	encoded := isProtobuf(res.Header)
	if res.StatusCode/100 == 2 {
		// An answer that cannot be read comes with a status that says accepted all the same.
		if encoded && proto.Unmarshal(said, answer) != nil {
			proto.Reset(answer)
		}
		return nil
	}
	if encoded {
		said = message(said)
	}
	return httpx.StatusError(res.StatusCode, res.Header, said)
}

func (x *httpExporter) close() error {
	x.client.CloseIdleConnections()
	return nil
}

func isProtobuf(header http.Header) bool {
	kind, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	return err == nil && kind == protobuf
}

// message is the text of an error's body.
func message(body []byte) []byte {
	var s statuspb.Status
	if proto.Unmarshal(body, &s) != nil {
		return nil
	}
	return []byte(s.GetMessage())
}

func compressed(body []byte) ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(body); err != nil {
		return nil, fmt.Errorf("compress request: %w", err)
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("compress request: %w", err)
	}
	return b.Bytes(), nil
}
