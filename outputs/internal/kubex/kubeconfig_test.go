package kubex

import (
	"encoding/base64"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func base64Of(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func TestEveryKindOfUserShowsWhoItIs(t *testing.T) {
	outputstest.NoLeak(t)
	ca := outputstest.NewCA(t)
	url := serve(t, ca, who)
	cert, key := ca.Issue(t, "jane")
	dir := t.TempDir()
	certFile, keyFile := writeFile(t, filepath.Join(dir, "c"), string(cert)), writeFile(t, filepath.Join(dir, "k"), string(key))
	tokenFile := writeFile(t, filepath.Join(dir, "t"), "of-a-file\n")
	for name, c := range map[string]struct{ user, want string }{
		"nobody":                  {`{}`, ""},
		"token":                   {`{"token":"abc"}`, "Bearer abc"},
		"token file":              {fmt.Sprintf(`{"tokenFile":%q}`, tokenFile), "Bearer of-a-file"},
		"token file before token": {fmt.Sprintf(`{"token":"abc","tokenFile":%q}`, tokenFile), "Bearer of-a-file"},
		"password":                {`{"username":"jane","password":"p:w"}`, "Basic " + base64Of([]byte("jane:p:w"))},
		"certificate's data": {
			fmt.Sprintf(`{"client-certificate-data":%q,"client-key-data":%q}`, base64Of(cert), base64Of(key)), "certificate of jane",
		},
		"certificate's files": {fmt.Sprintf(`{"client-certificate":%q,"client-key":%q}`, certFile, keyFile), "certificate of jane"},
		"certificate and token": {
			fmt.Sprintf(`{"client-certificate":%q,"client-key-data":%q,"token":"abc"}`, certFile, base64Of(key)), "Bearer abccertificate of jane",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := get(t, client(t, config(url, `,"insecure-skip-tls-verify":true`, c.user))); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestAUsersFilesAreReadAgain(t *testing.T) {
	outputstest.NoLeak(t)
	ca := outputstest.NewCA(t)
	dir := t.TempDir()
	issue := func(name string) {
		cert, key := ca.Issue(t, name)
		writeFile(t, filepath.Join(dir, "c"), string(cert))
		writeFile(t, filepath.Join(dir, "k"), string(key))
	}
	issue("first")
	writeFile(t, filepath.Join(dir, "t"), "one ")
	path := writeFile(t, filepath.Join(dir, "config"), config(serve(t, ca, who), `,"insecure-skip-tls-verify":true`,
		`{"client-certificate":"c","client-key":"k","tokenFile":"t"}`))
	c := client(t, path)
	if got, want := get(t, c), "Bearer onecertificate of first"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	writeFile(t, filepath.Join(dir, "t"), "two")
	issue("second")
	if got, want := get(t, c), "Bearer twocertificate of first"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	lookAgain(c)
	if got, want := get(t, c), "Bearer twocertificate of second"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAKubeconfigThatCannotWorkIsRefused(t *testing.T) {
	const server = "https://127.0.0.1:1"
	at := func(context string) string {
		return `{"current-context":"c","contexts":[` + context + `],"clusters":[{"name":"k","cluster":{"server":"` + server + `"}}]}`
	}
	ca := outputstest.NewCA(t)
	cert, _ := ca.Issue(t, "jane")
	_, key := ca.Issue(t, "joe")
	for name, c := range map[string]struct{ text, problem string }{
		"not YAML":             {"a: [s3cretT0ken\nb: ]: {", "malformed"},
		"another type":         {"clusters:\n- name: k\n  cluster: s3cretT0ken\n", "malformed (line 3)"},
		"too long":             {"#" + strings.Repeat("\n", maxFile), "bytes"},
		"empty":                {"{}", "current-context"},
		"no context":           {at(""), `no context "c"`},
		"no cluster":           {at(`{"name":"c","context":{"cluster":"x"}}`), `no cluster "x"`},
		"no user":              {at(`{"name":"c","context":{"cluster":"k","user":"x"}}`), `no user "x"`},
		"namespace":            {at(`{"name":"c","context":{"cluster":"k","namespace":"../.."}}`), "namespace"},
		"no server":            {config("", "", "{}"), "server must be"},
		"no scheme":            {config("api.test:6443", "", "{}"), "server must be"},
		"password in server":   {config("https://a:s3cretT0ken@h", "", "{}"), "without user and password"},
		"query in server":      {config("https://h/?a=b", "", "{}"), "without a query"},
		"proxy":                {config(server, `,"proxy-url":"ftp://u:s3cretT0ken@h"`, "{}"), "proxy"},
		"authority's base64":   {config(server, `,"certificate-authority-data":"s3cretT0ken!"`, "{}"), "certificate-authority-data is not base64"},
		"authority's PEM":      {config(server, `,"certificate-authority-data":"c2VjcmV0"`, "{}"), "no PEM certificate"},
		"authority's file":     {config(server, `,"certificate-authority":"/does/not/exist"`, "{}"), "no such file"},
		"authority's folder":   {config(server, `,"certificate-authority":"/"`, "{}"), "not a regular file"},
		"authority not used":   {config(server, `,"insecure-skip-tls-verify":true,"certificate-authority-data":"c2VjcmV0"`, "{}"), "both"},
		"certificate alone":    {config(server, "", fmt.Sprintf(`{"client-certificate-data":%q}`, base64Of(cert))), "client certificate"},
		"another's key":        {config(server, "", fmt.Sprintf(`{"client-certificate-data":%q,"client-key-data":%q}`, base64Of(cert), base64Of(key))), "client certificate"},
		"key's base64":         {config(server, "", `{"client-key-data":"s3cretT0ken!"}`), "client-key-data is not base64"},
		"token's line break":   {config(server, "", `{"token":"s3cretT0ken\n"}`), "control character"},
		"token file":           {config(server, "", `{"tokenFile":"/does/not/exist"}`), "no such file"},
		"impersonating nobody": {config(server, "", `{"as-groups":["system:masters"]}`), "without as"},
		"impersonating two":    {config(server, "", `{"as":"a\nb"}`), "control character"},
		"auth-provider":        {config(server, "", `{"auth-provider":{"name":"gcp"}}`), "use exec"},
		"plugin's command":     {config(server, "", `{"exec":{"apiVersion":"client.authentication.k8s.io/v1"}}`), "no command"},
		"plugin's version":     {config(server, "", `{"exec":{"command":"x","apiVersion":"client.authentication.k8s.io/v1alpha1"}}`), "apiVersion"},
		"plugin asks":          {config(server, "", `{"exec":{"command":"x","apiVersion":"client.authentication.k8s.io/v1","interactiveMode":"Always"}}`), "interactiveMode"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := open(origin{text: []byte(c.text)}, outputstest.Env(t))
			if err == nil || !strings.Contains(err.Error(), c.problem) {
				t.Fatalf("got %v, want an error with %q", err, c.problem)
			}
			outputstest.NoSecret(t, secret, err.Error())
		})
	}
}

func TestTheOnlyContextIsTheCurrentOne(t *testing.T) {
	text := strings.Replace(config("https://h", "", `{"token":"t"}`), `"current-context":"c",`, "", 1)
	c, err := open(origin{text: []byte(text)}, outputstest.Env(t))
	if err != nil || c.Namespace() != "ns" {
		t.Errorf("got %v", err)
	}
}

func TestHeaderNamesAreEscaped(t *testing.T) {
	for name, want := range map[string]string{"scopes": "scopes", "a/b:c@d=e%": "a%2Fb%3Ac%40d%3De%25", "é ": "%C3%A9%20", "": ""} {
		if got := escapeHeader(name); got != want {
			t.Errorf("escapeHeader(%q) is %q, want %q", name, got, want)
		}
	}
}

func FuzzKubeconfig(f *testing.F) {
	f.Add(config("https://h:6443", `,"proxy-url":"http://p"`, `{"token":"s3cretT0ken"}`))
	f.Add(config("https://h", `,"certificate-authority-data":"c2VjcmV0"`, `{"as":"x","as-user-extra":{"a/b":["c"]}}`))
	f.Add(config("https://h", "", `{"exec":{"apiVersion":"client.authentication.k8s.io/v1","command":"x","env":[{"name":"a","value":"b"}]}}`))
	f.Add("a: &a [*a]\nclusters: *a")
	f.Add("apiVersion: v1\nkind: Config\nclusters:\n- name: k\n  cluster: {server: https://h}\ncontexts:\n- name: c\n  context: {cluster: k}\n")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := parse([]byte(text))
		if err != nil {
			return
		}
		cl, u, _, err := d.choose()
		if err != nil {
			return
		}
		// No file that the text names is opened.
		cl.CertificateAuthority, u.ClientCertificate, u.ClientKey, u.TokenFile = "", "", "", ""
		s, err := newSession(cl, u, place{}, &reader{}, "", outputs.TLSClient{})
		if err == nil && (s.tls == nil || s.auth == nil || !strings.HasPrefix(strings.ToLower(s.server), "http")) {
			t.Errorf("half a session: %+v", s)
		}
	})
}
