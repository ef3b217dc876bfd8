package kubex

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

// accountFolder is where a pod finds the files of its service account.
const accountFolder = "/var/run/secrets/kubernetes.io/serviceaccount"

// origin is where sessions come from.
type origin struct {
	text   []byte // of a kubeconfig
	path   string // of a kubeconfig
	folder string // of a service account
	host   string // of the API server that a pod sees
	proxy  string
	shared outputs.TLSClient
}

// origin chooses between the pod's service account, whose files are in folder, and the
// kubeconfig.
func (s Settings) origin(folder string) (origin, error) {
	o := origin{proxy: s.Proxy}
	host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
	inPod := host != "" && port != ""
	_, noAccount := os.Stat(filepath.Join(folder, "token"))
	switch {
	case inPod && (s.Kubeconfig == "" || s.PreferPod && noAccount == nil):
		o.folder, o.host = folder, net.JoinHostPort(host, port)
	case s.Kubeconfig == "":
		return o, errors.New("kubeconfig is not set, and this is no pod of Kubernetes")
	case strings.ContainsAny(s.Kubeconfig, "\n{"):
		o.text = []byte(s.Kubeconfig)
	default:
		o.path = s.Kubeconfig
	}
	return o, nil
}

// load makes a session.
func (o *origin) load() (*session, error) {
	switch {
	case o.folder != "":
		return o.account()
	case o.text != nil:
		return kubeconfig(o.text, "", o.proxy, o.shared)
	}
	var r reader
	text, err := r.read(o.path)
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig: %w", err)
	}
	s, err := kubeconfig(text, filepath.Dir(o.path), o.proxy, o.shared)
	if err != nil {
		return nil, err
	}
	s.files = append(s.files, r.files...)
	return s, nil
}

// account makes a session of the pod's service account.
func (o *origin) account() (*session, error) {
	auth, err := newTokenFile(filepath.Join(o.folder, "token"))
	if err != nil {
		return nil, err
	}
	var r reader
	caFile := filepath.Join(o.folder, "ca.crt")
	ca, err := r.read(caFile)
	if err != nil {
		return nil, fmt.Errorf("read the service account's authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("the service account's authority %q holds no PEM certificate", caFile)
	}
	s := &session{
		server: "https://" + o.host,
		tls:    &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool},
		auth:   auth,
		files:  r.files,
	}
	if s.proxy, err = httpx.ProxyOf(o.proxy); err != nil {
		return nil, fmt.Errorf("proxy %w", err)
	}
	if ns, err := readFile(filepath.Join(o.folder, "namespace")); err == nil {
		s.namespace = strings.TrimSpace(string(ns))
	}
	if s.namespace != "" && CheckName(s.namespace) != nil {
		return nil, errors.New("the service account's namespace is not a name")
	}
	return s, nil
}

// tokenFile is a token that somebody replaces while we run, as the kubelet does.
type tokenFile struct {
	path string
	mu   sync.Mutex
	last string // to go on with while the file cannot be read
}

func newTokenFile(path string) (*tokenFile, error) {
	t := &tokenFile{path: path}
	_, err := t.read()
	return t, err
}

func (t *tokenFile) read() (string, error) {
	b, err := readFile(t.path)
	if err != nil {
		return "", fmt.Errorf("read the token for the Kubernetes API: %w", err)
	}
	token := strings.TrimSpace(string(b))
	if token == "" || !headerValue(token) {
		return "", fmt.Errorf("read the token for the Kubernetes API: %q holds no token", t.path)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = token
	return token, nil
}

func (t *tokenFile) credential(context.Context) (credential, error) {
	token, err := t.read()
	if err != nil {
		t.mu.Lock()
		token = t.last
		t.mu.Unlock()
	}
	return credential{authorization: "Bearer " + token}, nil
}

func (t *tokenFile) expire(used credential) bool {
	token, err := t.read()
	return err == nil && "Bearer "+token != used.authorization
}

// file is a file that was read, and what it was like then.
type file struct{ path, stamp string }

// stampOf identifies a file's present content by its time and size.
func stampOf(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return "-"
	}
	return fmt.Sprintf("%d,%d", info.ModTime().UnixNano(), info.Size())
}

// loaded identifies the content of files that was read, version their present one.
func loaded(files []file) string {
	var v strings.Builder
	for _, f := range files {
		v.WriteString(f.stamp + ";")
	}
	return v.String()
}

func version(files []file) string {
	var v strings.Builder
	for _, f := range files {
		v.WriteString(stampOf(f.path) + ";")
	}
	return v.String()
}
