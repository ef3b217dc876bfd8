package gcpcloudfunctions

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/functions/apiv1/functionspb"
	"google.golang.org/api/option"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

const name = "projects/p/locations/europe-west1/functions/falco"

// patience is how long a test waits for what ought to happen at once.
const patience = 20 * time.Second

// fake is the Cloud Functions API.
type fake struct {
	functionspb.UnimplementedCloudFunctionsServiceServer
	mu     sync.Mutex
	calls  []*functionspb.CallFunctionRequest
	answer func(context.Context) (*functionspb.CallFunctionResponse, error)
}

func (f *fake) CallFunction(ctx context.Context, r *functionspb.CallFunctionRequest) (*functionspb.CallFunctionResponse, error) {
	f.mu.Lock()
	f.calls = append(f.calls, r)
	answer := f.answer
	f.mu.Unlock()
	if answer == nil {
		return &functionspb.CallFunctionResponse{ExecutionId: "1", Result: "done"}, nil
	}
	return answer(ctx)
}

func (f *fake) answerWith(answer func(context.Context) (*functionspb.CallFunctionResponse, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = answer
}

func (f *fake) refuse(err error) {
	f.answerWith(func(context.Context) (*functionspb.CallFunctionResponse, error) { return nil, err })
}

func (f *fake) take() []*functionspb.CallFunctionRequest {
	f.mu.Lock()
	defer f.mu.Unlock()
	taken := f.calls
	f.calls = nil
	return taken
}

// serve starts a fake and a sender for it. Both end with the test.
func serve(t *testing.T) (*fake, *sender) {
	t.Helper()
	outputstest.NoLeak(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f, server := &fake{}, grpc.NewServer()
	functionspb.RegisterCloudFunctionsServiceServer(server, f)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-ended; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Error(err)
		}
	})
	return f, dial(t, l.Addr().String())
}

// dial makes a sender for the API at address.
func dial(t *testing.T, address string) *sender {
	t.Helper()
	made, err := outputstest.New("gcpcloudfunctions", "{name: "+name+"}", outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	s, ok := made.(*sender)
	if !ok {
		t.Fatalf("got a %T", made)
	}
	s.options = func() ([]option.ClientOption, error) {
		return []option.ClientOption{
			option.WithEndpoint(address), option.WithoutAuthentication(), option.WithTelemetryDisabled(),
			option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
		}, nil
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func plain() []event.Event { return []event.Event{outputstest.Plain()} }

func TestCallsMatchTheGoldenFile(t *testing.T) {
	f, s := serve(t)
	var got strings.Builder
	for _, e := range outputstest.Events() {
		if err := s.Send(t.Context(), []event.Event{e.Event}); err != nil {
			t.Errorf("%s: %v", e.Name, err)
		}
		fmt.Fprintf(&got, "-- %s --\n", e.Name)
		for _, call := range f.take() {
			fmt.Fprintf(&got, "%s\n%s\n", call.GetName(), call.GetData())
		}
	}
	outputstest.Golden(t, "testdata/payload.golden", got.String())
}

func TestEachCodeHasItsOutcome(t *testing.T) {
	f, s := serve(t)
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		want := outputstest.NotNow
		switch code {
		case codes.InvalidArgument:
			want = outputstest.Rejected
		case codes.Unauthenticated, codes.PermissionDenied, codes.NotFound, codes.FailedPrecondition, codes.Unimplemented:
			want = outputstest.Held
		}
		f.refuse(status.Error(code, "of\ncourse"))
		err := s.Send(t.Context(), plain())
		if got := outputstest.OutcomeOf(err); got != want {
			t.Errorf("%v is %q (%v), want %q", code, got, err, want)
		}
		if err != nil && !strings.Contains(err.Error(), code.String()+": of course") {
			t.Errorf("%v: the error %q does not say so", code, err)
		}
		if n := len(f.take()); n != 1 {
			t.Errorf("%v: %d calls were made, want one", code, n)
		}
	}
	f.answerWith(nil)
	if err := s.Send(t.Context(), plain()); err != nil {
		t.Errorf("after all that: %v", err)
	}
}

func TestAPauseThatIsAskedForIsPassedOn(t *testing.T) {
	f, s := serve(t)
	for asked, want := range map[time.Duration]time.Duration{
		7 * time.Second: 7 * time.Second, 1000 * time.Hour: time.Hour, 0: 0, -time.Second: 0,
	} {
		refusal, err := status.New(codes.ResourceExhausted, "quota").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(asked)})
		if err != nil {
			t.Fatal(err)
		}
		f.refuse(refusal.Err())
		err = s.Send(t.Context(), plain())
		if outputstest.OutcomeOf(err) != outputstest.NotNow || outputs.Delay(err) != want {
			t.Errorf("a pause of %v is %v (%v), want %v", asked, outputs.Delay(err), err, want)
		}
	}
}

func TestAFunctionThatFailedIsCalledAgainLater(t *testing.T) {
	f, s := serve(t)
	f.answerWith(func(context.Context) (*functionspb.CallFunctionResponse, error) {
		return &functionspb.CallFunctionResponse{Error: "Error: out of\nmemory " + strings.Repeat("x", 10_000)}, nil
	})
	err := s.Send(t.Context(), plain())
	if outputstest.OutcomeOf(err) != outputstest.NotNow {
		t.Fatalf("got %v", err)
	}
	if text := err.Error(); !strings.HasPrefix(text, "the function failed: Error: out of memory") || len(text) > 700 {
		t.Errorf("got the error %q", text)
	}
}

func TestACancelledContextCallsNothing(t *testing.T) {
	f, s := serve(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Send(ctx, plain()); outputstest.OutcomeOf(err) != outputstest.NotNow {
		t.Errorf("got %v", err)
	}
	if n := len(f.take()); n != 0 {
		t.Errorf("%d calls were made", n)
	}
}

func TestAFunctionThatHangsIsLeftWhenTheContextEnds(t *testing.T) {
	f, s := serve(t)
	arrived := make(chan struct{})
	f.answerWith(func(ctx context.Context) (*functionspb.CallFunctionResponse, error) {
		close(arrived)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Send(ctx, plain()) }()
	timeout := time.After(patience)
	for arrived != nil {
		select {
		case <-arrived:
			arrived = nil
			cancel()
		case <-timeout:
			t.Fatal("no call arrived")
		}
	}
	select {
	case err := <-done:
		if outputstest.OutcomeOf(err) != outputstest.NotNow {
			t.Errorf("got %v", err)
		}
	case <-timeout:
		t.Fatal("Send did not return after its context had ended")
	}
}

func TestARefusedConnectionIsTriedAgainLater(t *testing.T) {
	outputstest.NoLeak(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := dial(t, l.Addr().String())
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Send(t.Context(), plain()); outputstest.OutcomeOf(err) != outputstest.NotNow {
		t.Errorf("got %v", err)
	}
}

func TestConcurrentSendsAllArriveAlsoWhileTheConnectionIsDropped(t *testing.T) {
	f, s := serve(t)
	f.answerWith(func(context.Context) (*functionspb.CallFunctionResponse, error) {
		f.mu.Lock()
		n := len(f.calls)
		f.mu.Unlock()
		if n%3 == 0 {
			return nil, status.Error(codes.Unauthenticated, "the token has expired")
		}
		return &functionspb.CallFunctionResponse{}, nil
	})
	const n = 24
	var sends sync.WaitGroup
	for range n {
		sends.Go(func() {
			// A dropped connection must not end the calls that others make over it.
			if err := s.Send(t.Context(), plain()); err != nil && !strings.Contains(err.Error(), "token has expired") {
				t.Error(err)
			}
		})
	}
	sends.Wait()
	if got := len(f.take()); got != n {
		t.Errorf("%d of %d calls arrived", got, n)
	}
}

// key is a user's setting of credentials with the given JSON.
func key(json string) string { return base64.StdEncoding.EncodeToString([]byte(json)) }

func TestWrongConfigurationIsRefused(t *testing.T) {
	const secret = "s3cretPrivateKey"
	for text, want := range map[string]string{
		"{}":            "name",
		"{name: falco}": "projects/PROJECT/locations/REGION/functions/NAME",
		"{name: projects/p/locations//functions/}":                                         "name",
		"{name: " + name + ", credentials: '" + secret + "'}":                              "credentials: must be the base64",
		"{name: " + name + ", credentials: '" + key(secret) + "'}":                         "credentials: must be the base64",
		"{name: " + name + ", credentials: '" + key(`{"type":"`+secret+`"}`) + "'}":        "credentials: must be a key with a type",
		"{name: " + name + ", credentials: '" + key(`{"private_key":"`+secret+`"}`) + "'}": "credentials: must be a key with a type",
	} {
		_, err := outputstest.New("gcpcloudfunctions", text, outputstest.Env(t))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error with %q", text, err, want)
		}
		outputstest.NoSecret(t, secret, fmt.Sprint(err))
	}
}

func TestTheKeyShowsNowhere(t *testing.T) {
	const secret = "s3cretPrivateKey"
	text := "{name: " + name + ", credentials: '" + key(`{"type":"service_account","client_email":"a@b","private_key":"`+secret+`"}`) + "'}"
	cfg, err := outputstest.Load(outputstest.Kind(t, "gcpcloudfunctions"), text)
	if err != nil {
		t.Fatal(err)
	}
	outputstest.NoSecretIn(t, secret, cfg)
	s, err := outputstest.New("gcpcloudfunctions", text, outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	outputstest.NoSecretIn(t, secret, s)
	// The key is none, which the first Send finds out without the network.
	err = s.Send(t.Context(), plain())
	if outputstest.OutcomeOf(err) != outputstest.NotNow {
		t.Errorf("got %v", err)
	}
	outputstest.NoSecretIn(t, secret, err)
	if err := s.(io.Closer).Close(); err != nil {
		t.Error(err)
	}
}
