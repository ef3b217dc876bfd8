package kubex

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

const secret = "s3cretT0ken"

// writeFile writes a file with a time that no earlier one had.
func writeFile(t *testing.T, path, content string) string {
	t.Helper()
	stamp := time.Unix(1, 0)
	if info, err := os.Stat(path); err == nil {
		stamp = info.ModTime().Add(time.Second)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, stamp, stamp); err != nil {
		t.Fatal(err)
	}
	return path
}

// serve starts an API server with a certificate of ca, which asks for those of clients.
func serve(t *testing.T, ca *outputstest.CA, handler http.HandlerFunc) string {
	t.Helper()
	pair, err := tls.X509KeyPair(ca.Issue(t, "server"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.Cert)
	s := httptest.NewUnstartedServer(handler)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.VerifyClientCertIfGiven}
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}

// who answers with what a request shows of its sender.
func who(w http.ResponseWriter, r *http.Request) {
	fmt.Fprint(w, r.Header.Get("Authorization"))
	for _, c := range r.TLS.PeerCertificates {
		fmt.Fprint(w, "certificate of ", c.Subject.CommonName)
	}
}

// config is a kubeconfig. More of the cluster begins with a comma; user is JSON.
func config(server, more, user string) string {
	return fmt.Sprintf(`{"current-context":"c","contexts":[{"name":"c","context":{"cluster":"k","user":"u","namespace":"ns"}}],`+
		`"clusters":[{"name":"k","cluster":{"server":%q%s}}],"users":[{"name":"u","user":%s}]}`, server, more, user)
}

func client(t *testing.T, kubeconfig string) *Client {
	t.Helper()
	c, err := New(Settings{Kubeconfig: kubeconfig}, outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func get(t *testing.T, c *Client) string {
	t.Helper()
	answer, err := c.Do(t.Context(), http.MethodGet, "/version", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

// lookAgain makes the next request look at the files.
func lookAgain(c *Client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.checked = time.Time{}
}

func TestARequestCarriesWhatItShould(t *testing.T) {
	outputstest.NoLeak(t)
	ca := outputstest.NewCA(t)
	url := serve(t, ca, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintln(w, r.Method, r.URL.EscapedPath(), string(body), r.Header["Content-Type"], r.Header["Accept"], r.Header["X-Mine"],
			r.Header["Impersonate-User"], r.Header["Impersonate-Group"], r.Header["Impersonate-Extra-A%2fb%3a"])
	})
	c := client(t, config(url+"/base/", `,"insecure-skip-tls-verify":true`,
		`{"token":"t","as":"jane","as-groups":["g1","g2"],"as-user-extra":{"a/b:":["x"]}}`))
	answer, err := c.Do(t.Context(), http.MethodPost, Path("api", "a b/c"), []byte("{}"), http.Header{"x-mine": {"1"}, "Accept": {"a/b"}})
	if want := "POST /base/api/a%20b%2Fc {} [application/json] [a/b] [1] [jane] [g1 g2] [x]\n"; err != nil || string(answer) != want {
		t.Errorf("got %q, %v, want %q", answer, err, want)
	}
	if c.Namespace() != "ns" {
		t.Errorf("namespace %q", c.Namespace())
	}
}

func TestPathEscapesEachSegment(t *testing.T) {
	for want, segments := range map[string][]string{
		"":                           nil,
		"/api/v1":                    {"api", "v1"},
		"/a%2Fb/c%3Fd/e%23f/%25/%20": {"a/b", "c?d", "e#f", "%", " "},
		"/services/gw:8080/proxy":    {"services", "gw:8080", "proxy"},
		"/%C3%A9%0A":                 {"é\n"},
	} {
		if got := Path(segments...); got != want {
			t.Errorf("Path(%q) is %q, want %q", segments, got, want)
		}
	}
}

func TestNamesAndPortsAreChecked(t *testing.T) {
	for name, ok := range map[string]bool{
		"a": true, "a.b-c_d": true, "A1": true, strings.Repeat("a", 253): true,
		"": false, ".": false, "..": false, "a/b": false, "-a": false, "a-": false, "a b": false, "a\n": false,
		"é": false, strings.Repeat("a", 254): false,
	} {
		if err := CheckName(name); (err == nil) != ok {
			t.Errorf("CheckName(%q): %v", name, err)
		}
	}
	for port, ok := range map[int]bool{1: true, 65535: true, 0: false, -1: false, 65536: false} {
		if err := CheckPort(port); (err == nil) != ok {
			t.Errorf("CheckPort(%d): %v", port, err)
		}
	}
}

func TestClustersAreTrustedAsTheySay(t *testing.T) {
	outputstest.NoLeak(t)
	ca, other := outputstest.NewCA(t), outputstest.NewCA(t)
	url := serve(t, ca, who)
	file := writeFile(t, filepath.Join(t.TempDir(), "ca.crt"), string(ca.PEM))
	for name, c := range map[string]struct {
		more, problem string
	}{
		"authority's data":   {more: fmt.Sprintf(`,"certificate-authority-data":%q`, base64Of(ca.PEM))},
		"authority's file":   {more: fmt.Sprintf(`,"certificate-authority":%q`, file)},
		"name of the server": {more: fmt.Sprintf(`,"certificate-authority":%q,"tls-server-name":"localhost"`, file)},
		"no verification":    {more: `,"insecure-skip-tls-verify":true`},
		"unknown authority":  {problem: "unknown authority"},
		"other authority":    {more: fmt.Sprintf(`,"certificate-authority-data":%q`, base64Of(other.PEM)), problem: "x509"},
		"other name":         {more: fmt.Sprintf(`,"certificate-authority":%q,"tls-server-name":"other.test"`, file), problem: "other.test"},
	} {
		t.Run(name, func(t *testing.T) {
			answer, err := client(t, config(url, c.more, `{"token":"`+secret+`"}`)).Do(t.Context(), http.MethodGet, "/", nil, nil)
			switch {
			case c.problem == "" && (err != nil || string(answer) != "Bearer "+secret):
				t.Errorf("got %q, %v", answer, err)
			case c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem)):
				t.Errorf("got %v, want an error with %q", err, c.problem)
			case err != nil:
				outputstest.NoSecret(t, secret+" "+url, err.Error())
			}
		})
	}
}

func TestTheSharedAuthorityIsTrustedWhereTheClusterHasNone(t *testing.T) {
	outputstest.NoLeak(t)
	ca := outputstest.NewCA(t)
	env := outputstest.Env(t)
	env.TLS.CACertFile = writeFile(t, filepath.Join(t.TempDir(), "ca.crt"), string(ca.PEM))
	c, err := New(Settings{Kubeconfig: config(serve(t, ca, who), "", `{"token":"t"}`)}, env)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := get(t, c); got != "Bearer t" {
		t.Errorf("got %q", got)
	}
}

func TestTheProxyOfTheSettingsStandsBeforeTheClusters(t *testing.T) {
	outputstest.NoLeak(t)
	proxy := func(name string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, name, " for ", r.URL.Host)
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	text := config("http://api.test", fmt.Sprintf(`,"proxy-url":%q`, proxy("cluster's")), "{}")
	for want, p := range map[string]string{"cluster's for api.test": "", "own for api.test": proxy("own")} {
		c, err := New(Settings{Kubeconfig: text, Proxy: p}, outputstest.Env(t))
		if err != nil {
			t.Fatal(err)
		}
		if got := get(t, c); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		c.Close()
	}
}

// account writes a pod's folder.
func account(t *testing.T, ca *outputstest.CA) string {
	t.Helper()
	folder := t.TempDir()
	writeFile(t, filepath.Join(folder, "token"), "first\n")
	writeFile(t, filepath.Join(folder, "ca.crt"), string(ca.PEM))
	writeFile(t, filepath.Join(folder, "namespace"), "falco\n")
	return folder
}

func TestAServiceAccountsTokenIsReadForEachRequest(t *testing.T) {
	outputstest.NoLeak(t)
	ca := outputstest.NewCA(t)
	url := serve(t, ca, who)
	folder := account(t, ca)
	c, err := open(origin{folder: folder, host: strings.TrimPrefix(url, "https://")}, outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := get(t, c); got != "Bearer first" || c.Namespace() != "falco" {
		t.Errorf("got %q in %q", got, c.Namespace())
	}
	token := writeFile(t, filepath.Join(folder, "token"), "second")
	if got := get(t, c); got != "Bearer second" {
		t.Errorf("after the change: %q", got)
	}
	for _, broken := range []string{"", "a\nb", strings.Repeat("x", maxFile+1)} {
		writeFile(t, token, broken)
		if got := get(t, c); got != "Bearer second" {
			t.Errorf("while the file is broken: %.40q", got)
		}
	}
	if err := os.Remove(token); err != nil {
		t.Fatal(err)
	}
	if got := get(t, c); got != "Bearer second" {
		t.Errorf("without the file: %q", got)
	}
}

func TestATokenReplacedWhileItIsRefusedIsTriedAtOnce(t *testing.T) {
	outputstest.NoLeak(t)
	ca := outputstest.NewCA(t)
	folder := account(t, ca)
	n := 0
	url := serve(t, ca, func(w http.ResponseWriter, r *http.Request) {
		n++
		if r.Header.Get("Authorization") != "Bearer second" {
			writeFile(t, filepath.Join(folder, "token"), "second")
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	c, err := open(origin{folder: folder, host: strings.TrimPrefix(url, "https://")}, outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	get(t, c)
	if n != 2 {
		t.Errorf("%d requests", n)
	}
}

func TestAServiceAccountThatIsBrokenIsAnErrorAtStart(t *testing.T) {
	ca := outputstest.NewCA(t)
	for file, broken := range map[string]string{"token": " \n", "ca.crt": "none", "namespace": "../x"} {
		folder := account(t, ca)
		writeFile(t, filepath.Join(folder, file), broken)
		if _, err := open(origin{folder: folder, host: "127.0.0.1:1"}, outputstest.Env(t)); err == nil {
			t.Errorf("%s %q was taken", file, broken)
		}
	}
	if _, err := open(origin{folder: t.TempDir(), host: "127.0.0.1:1"}, outputstest.Env(t)); err == nil {
		t.Error("an empty folder was taken")
	}
}

func TestANewAuthorityIsTrustedOnceItLoads(t *testing.T) {
	outputstest.NoLeak(t)
	first, second := outputstest.NewCA(t), outputstest.NewCA(t)
	old, renewed := serve(t, first, who), serve(t, second, who)
	dir := t.TempDir()
	file := writeFile(t, filepath.Join(dir, "ca.crt"), string(first.PEM))
	path := writeFile(t, filepath.Join(dir, "config"), config(old, `,"certificate-authority":"ca.crt"`, `{"token":"t"}`))
	c := client(t, path)
	get(t, c)
	writeFile(t, file, "half a file")
	lookAgain(c)
	if get(t, c); c.refused == "" {
		t.Error("the broken file went unnoticed")
	}
	// The new kubeconfig names a file that comes later.
	writeFile(t, file, string(first.PEM))
	writeFile(t, path, config(renewed, `,"certificate-authority":"later.crt"`, `{"token":"t2"}`))
	lookAgain(c)
	if got := get(t, c); got != "Bearer t" {
		t.Errorf("before the new files are complete: %q", got)
	}
	writeFile(t, filepath.Join(dir, "later.crt"), string(second.PEM))
	lookAgain(c)
	if got := get(t, c); got != "Bearer t2" || c.refused != "" {
		t.Errorf("with the new files: %q", got)
	}
}

func TestFilesAreNotReadAgainBeforeTheyChange(t *testing.T) {
	path := writeFile(t, filepath.Join(t.TempDir(), "config"), config("http://api.test", "", `{"token":"t"}`))
	c := client(t, path)
	before := c.current.Load()
	lookAgain(c)
	c.renew()
	if c.current.Load() != before {
		t.Error("an unchanged file was loaded again")
	}
	writeFile(t, path, config("http://api.test", "", `{"token":"t2"}`))
	c.renew()
	if c.current.Load() != before {
		t.Error("the file was looked at too soon")
	}
	lookAgain(c)
	c.renew()
	if c.current.Load() == before {
		t.Error("a changed file was not loaded")
	}
}

func TestSettingsSayWhereTheSessionComesFrom(t *testing.T) {
	folder := account(t, outputstest.NewCA(t))
	for name, c := range map[string]struct {
		Settings
		pod, account bool
		want         string
	}{
		"pod":                    {pod: true, account: true, want: "pod"},
		"pod without account":    {pod: true, want: "pod"}, // whose error says what is missing
		"kubeconfig in a pod":    {Settings{Kubeconfig: "/a"}, true, true, "path"},
		"pod preferred":          {Settings{Kubeconfig: "/a", PreferPod: true}, true, true, "pod"},
		"account missing":        {Settings{Kubeconfig: "/a", PreferPod: true}, true, false, "path"},
		"pod preferred, outside": {Settings{Kubeconfig: "/a", PreferPod: true}, false, false, "path"},
		"text":                   {Settings{Kubeconfig: "a: b\n"}, false, false, "text"},
		"text in one line":       {Settings{Kubeconfig: "{}"}, false, false, "text"},
		"nothing":                {want: "error"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("KUBERNETES_SERVICE_HOST", "")
			if c.pod {
				t.Setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
				t.Setenv("KUBERNETES_SERVICE_PORT", "443")
			}
			place := t.TempDir()
			if c.account {
				place = folder
			}
			o, err := c.origin(place)
			got := map[bool]string{o.host == "[fd00::1]:443": "pod", o.path == "/a": "path", o.text != nil: "text", err != nil: "error"}[true]
			if got != c.want {
				t.Errorf("got %q (%v), want %q", got, err, c.want)
			}
		})
	}
}

func TestAnAnswerThatIsTooLongIsAnError(t *testing.T) {
	outputstest.NoLeak(t)
	url := serve(t, outputstest.NewCA(t), func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(make([]byte, MaxAnswer+1))
	})
	_, err := client(t, config(url, `,"insecure-skip-tls-verify":true`, "{}")).Do(t.Context(), http.MethodGet, "/", nil, nil)
	if err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("got %v", err)
	}
}

func TestNoErrorShowsACredentialThatTheServerRepeats(t *testing.T) {
	outputstest.NoLeak(t)
	url := serve(t, outputstest.NewCA(t), func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		user, password, _ := r.BasicAuth()
		fmt.Fprint(w, "not you, ", r.Header.Get("Authorization"), user, " ", password)
	})
	for _, user := range []string{`{"token":"s3cretT0ken"}`, `{"username":"jane","password":"s3cretT0ken"}`} {
		_, err := client(t, config(url, `,"insecure-skip-tls-verify":true`, user)).Do(t.Context(), http.MethodGet, "/", nil, nil)
		if !outputs.Held(err) {
			t.Fatalf("got %v", err)
		}
		outputstest.NoSecret(t, secret, err.Error())
	}
}

func TestAShortPasswordDoesNotSpoilAnswers(t *testing.T) {
	outputstest.NoLeak(t)
	n := 0
	url := serve(t, outputstest.NewCA(t), func(w http.ResponseWriter, _ *http.Request) {
		n++
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"kind":"Status","reason":"Unauthorized","message":"who are you"}`)
	})
	c := client(t, config(url, `,"insecure-skip-tls-verify":true`, `{"username":"a","password":"ut"}`))
	_, err := c.Do(t.Context(), http.MethodGet, "/", nil, nil)
	if Reason(err) != "Unauthorized" || !outputs.Held(err) {
		t.Errorf("got %v", err)
	}
	if n != 1 {
		t.Errorf("a password that cannot be renewed was tried %d times", n)
	}
}
