package httpx

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/saker-security/saker/outputs"
)

// show writes an error of Pieces as "place:class", or its class alone.
func show(err error) string {
	class := func(err error) string {
		switch {
		case err == nil:
			return "ok"
		case outputs.Rejected(err):
			return "rejected"
		case outputs.Held(err):
			return "held"
		}
		return "later"
	}
	parts, partly := errors.AsType[outputs.Partial](err)
	if !partly {
		return class(err)
	}
	var all []string
	for i := range 9 {
		if part, failed := parts[i]; failed {
			all = append(all, fmt.Sprintf("%d:%s", i, class(part)))
		}
	}
	return strings.Join(all, " ")
}

func TestPiecesMergesWhatBecameOfEachRequest(t *testing.T) {
	bad, held, later := outputs.Reject(errors.New("bad")), outputs.Hold(errors.New("held")), errors.New("later")
	for _, tc := range []struct {
		name  string
		sizes []int
		errs  []error
		want  string
	}{
		{"one request", []int{3}, []error{nil}, "ok"},
		{"one bad request", []int{3}, []error{bad}, "rejected"},
		{"one partly", []int{3}, []error{outputs.Partial{1: bad}}, "1:rejected"},
		{"all well", []int{1, 2}, []error{nil, nil}, "ok"},
		{"a bad one alone", []int{2, 1, 1}, []error{nil, bad, nil}, "2:rejected"},
		{"a bad one among others", []int{2, 1}, []error{bad, nil}, "0:later 1:later"},
		{"parts of a piece", []int{2, 2}, []error{nil, outputs.Partial{1: bad}}, "3:rejected"},
		{"the rest is not tried", []int{1, 1, 2}, []error{nil, later}, "1:later 2:later 3:later"},
		{"nor when held", []int{1, 3}, []error{held}, "0:held 1:held 2:held 3:held"},
	} {
		n, calls := 0, 0
		for _, size := range tc.sizes {
			n += size
		}
		err := Pieces(n, func(from int) (int, error) {
			if calls >= len(tc.errs) {
				t.Fatalf("%s: a request after the last that should be made", tc.name)
			}
			calls++
			return from + tc.sizes[calls-1], tc.errs[calls-1]
		})
		if got := show(err); got != tc.want || calls != len(tc.errs) {
			t.Errorf("%s: got %s in %d requests, want %s in %d", tc.name, got, calls, tc.want, len(tc.errs))
		}
	}
}

func TestFillStopsBeforeTheLimit(t *testing.T) {
	sizes := []int{3, 3, 20, 1, 9, 1}
	var got []string
	for from := 0; from < len(sizes); {
		body, to := Fill(nil, from, len(sizes), 10, func(dst []byte, i int) []byte {
			return append(dst, strings.Repeat("x", sizes[i])...)
		})
		got = append(got, fmt.Sprintf("%d-%d %d", from, to, len(body)))
		from = to
	}
	if diff := cmp.Diff([]string{"0-2 6", "2-3 20", "3-5 10", "5-6 1"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestGzipIsReversible(t *testing.T) {
	for _, text := range []string{"", "a", strings.Repeat("falco", 10_000)} {
		z, err := gzip.NewReader(bytes.NewReader(Gzip([]byte(text))))
		if err != nil {
			t.Fatal(err)
		}
		if plain, err := io.ReadAll(z); err != nil || string(plain) != text {
			t.Errorf("%d bytes came back as %d (%v)", len(text), len(plain), err)
		}
	}
}

func TestAnErrorHasTheAnswerThatItIsAbout(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "3")
		w.WriteHeader(http.StatusTooManyRequests)
		fmt.Fprint(w, strings.Repeat("long ", 400), r.URL.Query().Get("key"))
	}))
	defer server.Close()
	client, err := New(Config{}, outputs.Env{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	_, err = Do(t.Context(), client, http.MethodPost, server.URL+"/?key=s3cret", nil, nil)
	status, body, ok := Answer(fmt.Errorf("wrapped: %w", err))
	if !ok || status != http.StatusTooManyRequests || !strings.HasSuffix(string(body), "long "+hidden) {
		t.Errorf("got %d %q %v", status, body, ok)
	}
	if d := outputs.Delay(err); d != 3*time.Second {
		t.Errorf("the pause is %v", d)
	}
	if _, _, ok := Answer(errors.New("refused")); ok {
		t.Error("an error without an answer has one")
	}
}
