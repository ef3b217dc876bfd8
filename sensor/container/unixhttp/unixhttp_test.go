package unixhttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/saker-security/saker/sensor/container"
	"github.com/saker-security/saker/sensor/container/unixhttp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve answers on a socket for the test and returns a client of it.
func serve(t *testing.T, h http.HandlerFunc) *unixhttp.Client {
	t.Helper()
	dir, err := os.MkdirTemp("", "sk") //nolint:usetesting // its paths are too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	listener, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: h}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	c := unixhttp.New(filepath.Join(dir, "s"))
	t.Cleanup(func() {
		_ = c.Close()
		_ = server.Close()
		<-done
	})
	return c
}

func TestAnswers(t *testing.T) {
	for _, tt := range []struct {
		name    string
		answer  http.HandlerFunc
		want    string // of the error
		unknown bool
	}{
		{"a good one", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"Id":"a"}`) }, "", false},
		{"no such container", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusNotFound) }, "does not know", true},
		{"a failure", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) }, "500 Internal", false},
		{"no JSON", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }, "invalid character", false},
		{"too much", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.Copy(w, io.MultiReader(strings.NewReader(`{"Id":"`), io.LimitReader(endless{}, unixhttp.MaxAnswer)))
		}, "more than 1048576 bytes", false},
		{"a broken one", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := serve(t, tt.answer)
			var got struct{ ID string }
			_, err := c.Get(t.Context(), "/x?y=z", &got)
			if tt.want == "" {
				if err != nil || got.ID != "a" {
					t.Errorf("got %+v, %v", got, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || errors.Is(err, container.ErrUnknown) != tt.unknown {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

func TestAListMayBeLongerThanOtherAnswers(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `[%q]`, strings.Repeat("x", unixhttp.MaxAnswer))
	})
	var list []string
	if err := c.List(t.Context(), "/x", &list); err != nil || len(list) != 1 {
		t.Errorf("%d, %v", len(list), err)
	}
	if _, err := c.Get(t.Context(), "/x", &list); err == nil {
		t.Error("another answer may too")
	}
}

type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'x'
	}
	return len(b), nil
}

func TestEventsAreReadUntilTheConnectionEnds(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		for _, action := range []string{"create", "exec_start: sh", "start", "destroy", "remove"} {
			fmt.Fprintf(w, `{"Type":"container","Action":%q,"Actor":{"ID":"a"}}`+"\n", action)
		}
	})
	var got []container.Change
	err := c.Events(t.Context(), "/events", func(c container.Change) { got = append(got, c) })
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the end is %v", err)
	}
	if diff := cmp.Diff([]container.Change{{ID: "a"}, {ID: "a"}, {ID: "a", Removed: true}, {ID: "a", Removed: true}}, got); diff != "" {
		t.Error(diff)
	}
}

func TestFollowingEventsEndsWithItsContext(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		stop()
		<-r.Context().Done()
	})
	if err := c.Events(ctx, "/events", func(container.Change) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("the end is %v", err)
	}
}
