package httpx

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/saker-security/saker/outputs"
)

func TestTheJudgeOfACallDecidesWithoutSecrets(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write(append([]byte(r.Header.Get("Authorization")+" "), body...))
	}))
	defer s.Close()
	client, err := New(Config{CheckCert: true}, outputs.Env{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	var got string
	wrong := errors.New("wrong token")
	call := Call{
		Method: http.MethodPost, Address: s.URL, Body: []byte("token=s3cretbody"),
		Header:  http.Header{"Authorization": {BasicAuth("me", "s3cret")}},
		Secrets: []string{"s3cretbody"},
		Judge: func(status int, _ http.Header, answer []byte) error {
			got = string(answer)
			return outputs.Hold(wrong)
		},
	}
	if _, err := call.Do(t.Context(), client); !outputs.Held(err) || !errors.Is(err, wrong) {
		t.Errorf("got %v", err)
	}
	if got != "[hidden] token=[hidden]" {
		t.Errorf("the judge got %q", got)
	}
	call.Judge = nil
	if _, err := call.Do(t.Context(), client); !outputs.Rejected(err) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("without a judge: %v", err)
	}
}
