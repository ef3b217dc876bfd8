package kubex

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

const v1 = "client.authentication.k8s.io/v1"

// runs is a user whose plugin is a script. More begins with a comma.
func runs(script, more string) string {
	return fmt.Sprintf(`{"exec":{"apiVersion":%q,"command":"/bin/sh","args":["-c",%q]%s}}`, v1, script, more)
}

// counting issues the tokens t1, t2 … and keeps the number in the file n of dir.
func counting(dir, status string) string {
	return `cd ` + dir + ` && n=$(($(cat n 2>/dev/null || echo 0) + 1)) && echo $n >n && ` +
		`echo '{"kind":"ExecCredential","apiVersion":"` + v1 + `","status":{"token":"t'$n'"` + strings.ReplaceAll(status, `"`, `\"`) + `}}'`
}

func ran(t *testing.T, dir string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "n"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func TestAPluginRunsWhenItsCredentialIsAboutToExpire(t *testing.T) {
	outputstest.NoLeak(t)
	url := serve(t, outputstest.NewCA(t), who)
	soon := time.Now().Add(earlier - time.Second).UTC().Format(time.RFC3339)
	for until, want := range map[string]string{"": "1", "2999-01-01T00:00:00Z": "1", "2020-01-01T00:00:00Z": "3", soon: "3"} {
		dir := t.TempDir()
		script := counting(dir, "")
		if until != "" {
			script = strings.Replace(script, `"}}'`, `","expirationTimestamp":"`+until+`"}}'`, 1)
		}
		c := client(t, config(url, `,"insecure-skip-tls-verify":true`, runs(script, "")))
		if _, err := os.Stat(filepath.Join(dir, "n")); err == nil {
			t.Error("New has run the plugin")
		}
		for range 3 {
			get(t, c)
		}
		if got := ran(t, dir); got != want {
			t.Errorf("until %q: it ran %s times, want %s", until, got, want)
		}
	}
}

func TestACredentialThatIsRefusedIsRenewedOnce(t *testing.T) {
	outputstest.NoLeak(t)
	dir := t.TempDir()
	var requests atomic.Int32
	good := "Bearer t2"
	url := serve(t, outputstest.NewCA(t), func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		if r.Header.Get("Authorization") != good {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	c := client(t, config(url, `,"insecure-skip-tls-verify":true`, runs(counting(dir, ""), "")))
	get(t, c)
	get(t, c)
	if ran(t, dir) != "2" || requests.Load() != 3 {
		t.Errorf("%s runs, %d requests", ran(t, dir), requests.Load())
	}
	good = "none"
	_, err := c.Do(t.Context(), http.MethodGet, "/", nil, nil)
	if !outputs.Held(err) || ran(t, dir) != "3" || requests.Load() != 5 {
		t.Errorf("%v, %s runs, %d requests", err, ran(t, dir), requests.Load())
	}
}

func TestRequestsThatAreRefusedTogetherRenewTogether(t *testing.T) {
	outputstest.NoLeak(t)
	dir := t.TempDir()
	const n = 8
	var together sync.WaitGroup
	together.Add(n)
	url := serve(t, outputstest.NewCA(t), func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer t1" {
			together.Done()
			together.Wait()
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	c := client(t, config(url, `,"insecure-skip-tls-verify":true`, runs(counting(dir, ""), "")))
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			if _, err := c.Do(t.Context(), http.MethodGet, "/", nil, nil); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := ran(t, dir); got != "2" {
		t.Errorf("the plugin ran %s times", got)
	}
}

func TestAPluginsCertificateIsShownAndReplaced(t *testing.T) {
	outputstest.NoLeak(t)
	ca := outputstest.NewCA(t)
	dir := t.TempDir()
	issue := func(name string) {
		cert, key := ca.Issue(t, name)
		b, err := json.Marshal(map[string]any{"kind": "ExecCredential", "apiVersion": v1, "status": map[string]string{
			"clientCertificateData": string(cert), "clientKeyData": string(key),
		}})
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(dir, "issued"), string(b))
	}
	issue("first")
	refused := ""
	url := serve(t, ca, func(w http.ResponseWriter, r *http.Request) {
		if r.TLS.PeerCertificates[0].Subject.CommonName == refused {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		who(w, r)
	})
	c := client(t, config(url, `,"insecure-skip-tls-verify":true`, runs("cat "+filepath.Join(dir, "issued"), "")))
	for range 2 {
		if got := get(t, c); got != "certificate of first" {
			t.Errorf("got %q", got)
		}
	}
	issue("second")
	refused = "first"
	if got := get(t, c); got != "certificate of second" {
		t.Errorf("got %q", got)
	}
}

func TestAPluginIsToldAboutTheCluster(t *testing.T) {
	outputstest.NoLeak(t)
	ca := outputstest.NewCA(t)
	url := serve(t, ca, who)
	dir := t.TempDir()
	file := writeFile(t, filepath.Join(dir, "ca"), string(ca.PEM))
	script := `echo "$KUBERNETES_EXEC_INFO$MINE" >` + dir + `/info; ` + counting(dir, "")
	get(t, client(t, config(url, `,"certificate-authority":"`+file+`"`,
		runs(script, `,"provideClusterInfo":true,"env":[{"name":"MINE","value":" mine"},{"name":"KUBERNETES_EXEC_INFO","value":"x"}]`))))
	got, err := os.ReadFile(filepath.Join(dir, "info"))
	want := fmt.Sprintf(`{"kind":"ExecCredential","apiVersion":%q,"spec":{"cluster":{"server":%q,"certificate-authority-data":%q},"interactive":false}} mine`+"\n",
		v1, url, base64Of(ca.PEM))
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

func TestAPluginEndsWithItsRequest(t *testing.T) {
	outputstest.NoLeak(t)
	dir := t.TempDir()
	c := client(t, config("http://127.0.0.1:1", "", runs("cd "+dir+"; sleep 1000 & echo $! >new; mv new pid; wait", "")))
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := c.Do(ctx, http.MethodGet, "/", nil, nil)
		failed <- err
	}()
	var pid string
	outputstest.Eventually(t, "the plugin runs", func() bool {
		b, err := os.ReadFile(filepath.Join(dir, "pid"))
		pid = strings.TrimSpace(string(b))
		return err == nil
	})
	waiting, stop := context.WithCancel(t.Context())
	stop()
	if _, err := c.Do(waiting, http.MethodGet, "/", nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("who waits for the plugin got %v", err)
	}
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	outputstest.Eventually(t, "the plugin's child has ended", func() bool {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
}

func TestAPluginThatFailsIsExplainedWithoutItsSecrets(t *testing.T) {
	outputstest.NoLeak(t)
	const env = `,"env":[{"name":"A","value":"s3cret"},{"name":"B","value":"s3cretT0ken"}]`
	for name, c := range map[string]struct {
		user, problem string
		held          bool
	}{
		"status":      {user: runs(`echo "no $B for $A" >&2; exit 3`, env), problem: "exit status 3: no [hidden] for [hidden]"},
		"silent":      {user: runs("exit 1", ""), problem: "it said nothing"},
		"much said":   {user: runs("head -c 300000 /dev/zero | tr '\\0' x >&2; exit 1", ""), problem: "exit status 1: xxx"},
		"endless":     {user: runs("exec cat /dev/zero", ""), problem: "it wrote more than"},
		"too long":    {user: runs("head -c 1048577 /dev/zero", ""), problem: "it wrote more than"},
		"garbage":     {user: runs(`echo "$B {"`, env), problem: "did not write an ExecCredential"},
		"not there":   {user: `{"exec":{"apiVersion":"` + v1 + `","command":"/does/not/exist","installHint":"get\nit"}}`, problem: "not there: get it", held: true},
		"not in PATH": {user: `{"exec":{"apiVersion":"` + v1 + `","command":"no-such-plugin"}}`, problem: "not there", held: true},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := client(t, config("http://127.0.0.1:1", "", c.user)).Do(t.Context(), http.MethodGet, "/", nil, nil)
			if err == nil || !strings.Contains(err.Error(), c.problem) || outputs.Held(err) != c.held || len(err.Error()) > 4096 {
				t.Fatalf("got %.5000v, want an error with %q", err, c.problem)
			}
			outputstest.NoSecret(t, secret, err.Error())
		})
	}
}

func TestWhatAPluginWritesIsChecked(t *testing.T) {
	cert, _ := outputstest.NewCA(t).Issue(t, "jane")
	status := func(s string) string { return `{"kind":"ExecCredential","apiVersion":"` + v1 + `","status":` + s + `}` }
	for name, c := range map[string]struct{ text, problem string }{
		"nothing":          {"", "ExecCredential"},
		"another kind":     {`{"kind":"Pod","status":{"token":"s3cretT0ken"}}`, "ExecCredential"},
		"no status":        {`{"kind":"ExecCredential","apiVersion":"` + v1 + `"}`, "with a status"},
		"another version":  {`{"kind":"ExecCredential","apiVersion":"` + v1 + `beta1","status":{"token":"s3cretT0ken"}}`, "another version"},
		"empty":            {status("{}"), "neither"},
		"line break":       {status(`{"token":"s3cretT0ken\n"}`), "control character"},
		"time":             {status(`{"token":"s3cretT0ken","expirationTimestamp":"soon"}`), "ExecCredential"},
		"certificate only": {status(fmt.Sprintf(`{"clientCertificateData":%q}`, cert)), "belong together"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := readCredential([]byte(c.text), v1)
			if err == nil || !strings.Contains(err.Error(), c.problem) {
				t.Fatalf("got %v, want an error with %q", err, c.problem)
			}
			outputstest.NoSecret(t, secret, err.Error())
		})
	}
}

func FuzzCredential(f *testing.F) {
	f.Add([]byte(`{"kind":"ExecCredential","apiVersion":"` + v1 + `","status":{"token":"t","expirationTimestamp":"2030-01-01T00:00:00Z"}}`))
	f.Add([]byte(`{"kind":"ExecCredential","apiVersion":"` + v1 + `","status":{"clientCertificateData":"a","clientKeyData":"b"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, _, err := readCredential(text, v1)
		if none := c == (credential{}); none != (err != nil) || !headerValue(c.authorization) {
			t.Errorf("got %+v, %v", c, err)
		}
	})
}
