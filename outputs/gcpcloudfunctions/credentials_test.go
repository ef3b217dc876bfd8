package gcpcloudfunctions

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net"
	"net/http/httptest"
	"strings"
	"testing"

	"cloud.google.com/go/functions/apiv1/functionspb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/saker-security/saker/outputs/internal/outputstest"
)

// account returns the setting of a service account's key.
func account(t *testing.T) string {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": "falco@p.iam.gserviceaccount.com", "private_key_id": "1",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"token_uri":   "http://127.0.0.1:1/", // nobody must ask there
	})
	if err != nil {
		t.Fatal(err)
	}
	return key(string(text))
}

// A service account proves who it is with a token that it signs itself.
func TestACallCarriesTheAccountsOwnToken(t *testing.T) {
	outputstest.NoLeak(t)
	certified := httptest.NewTLSServer(nil)
	certified.Close()
	f := &fake{}
	server := grpc.NewServer(grpc.Creds(credentials.NewServerTLSFromCert(&certified.TLS.Certificates[0])))
	functionspb.RegisterCloudFunctionsServiceServer(server, f)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() { server.Stop(); <-ended })

	made, err := outputstest.New("gcpcloudfunctions", "{name: "+name+", credentials: "+account(t)+"}", outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	s, ok := made.(*sender)
	if !ok {
		t.Fatalf("got a %T", made)
	}
	trusted := x509.NewCertPool()
	trusted.AddCert(certified.Certificate())
	configured := s.options
	s.options = func() ([]option.ClientOption, error) {
		options, err := configured()
		return append(options, option.WithEndpoint(l.Addr().String()),
			option.WithGRPCDialOption(grpc.WithTransportCredentials(credentials.NewClientTLSFromCert(trusted, "")))), err
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	var given []string
	f.answerWith(func(ctx context.Context) (*functionspb.CallFunctionResponse, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		given = md.Get("authorization")
		if len(given) != 1 {
			return nil, status.Error(codes.Unauthenticated, "no token")
		}
		return &functionspb.CallFunctionResponse{}, nil
	})
	if err := s.Send(t.Context(), plain()); err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(strings.TrimPrefix(given[0], "Bearer "), ".")
	if len(parts) != 3 {
		t.Fatalf("the token %q is no JWT", given[0])
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || !strings.Contains(string(claims), `"iss":"falco@p.iam.gserviceaccount.com"`) {
		t.Errorf("the token claims %s (%v)", claims, err)
	}
}
