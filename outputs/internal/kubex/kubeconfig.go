package kubex

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

// maxFile is the largest file that is read, in bytes.
const maxFile = 1 << 20

// document is a kubeconfig file. It is the format of kubectl, version v1.
type document struct {
	CurrentContext string `yaml:"current-context"`
	Clusters       []struct {
		Name    string  `yaml:"name"`
		Cluster cluster `yaml:"cluster"`
	} `yaml:"clusters"`
	Users []struct {
		Name string `yaml:"name"`
		User user   `yaml:"user"`
	} `yaml:"users"`
	Contexts []struct {
		Name    string `yaml:"name"`
		Context place  `yaml:"context"`
	} `yaml:"contexts"`
}

type cluster struct {
	Server                   string `yaml:"server"`
	TLSServerName            string `yaml:"tls-server-name"`
	InsecureSkipTLSVerify    bool   `yaml:"insecure-skip-tls-verify"`
	CertificateAuthority     string `yaml:"certificate-authority"`
	CertificateAuthorityData string `yaml:"certificate-authority-data"`
	ProxyURL                 string `yaml:"proxy-url"`
}

type user struct {
	ClientCertificate     string              `yaml:"client-certificate"`
	ClientCertificateData string              `yaml:"client-certificate-data"`
	ClientKey             string              `yaml:"client-key"`
	ClientKeyData         string              `yaml:"client-key-data"`
	Token                 string              `yaml:"token"`
	TokenFile             string              `yaml:"tokenFile"`
	Username              string              `yaml:"username"`
	Password              string              `yaml:"password"`
	As                    string              `yaml:"as"`
	AsUID                 string              `yaml:"as-uid"`
	AsGroups              []string            `yaml:"as-groups"`
	AsUserExtra           map[string][]string `yaml:"as-user-extra"`
	AuthProvider          *struct {
		Name string `yaml:"name"`
	} `yaml:"auth-provider"`
	Exec *execConfig `yaml:"exec"`
}

type place struct {
	Cluster   string `yaml:"cluster"`
	User      string `yaml:"user"`
	Namespace string `yaml:"namespace"`
}

// parse reads a kubeconfig. Its error shows nothing of the text but a line's number.
func parse(text []byte) (*document, error) {
	if len(text) > maxFile {
		return nil, fmt.Errorf("the kubeconfig has more than %d bytes", maxFile)
	}
	var d document
	if err := yaml.Unmarshal(text, &d); err != nil {
		if line := lineNumber.FindString(err.Error()); line != "" {
			return nil, fmt.Errorf("the kubeconfig is malformed (%s)", line)
		}
		return nil, errors.New("the kubeconfig is malformed")
	}
	return &d, nil
}

var lineNumber = regexp.MustCompile(`\bline \d+`)

// choose returns what the current context names.
func (d *document) choose() (cl cluster, u user, at place, err error) {
	if d.CurrentContext == "" && len(d.Contexts) != 1 {
		return cl, u, at, errors.New("the kubeconfig has no current-context")
	}
	found := false
	for _, c := range d.Contexts {
		if c.Name == d.CurrentContext || d.CurrentContext == "" {
			at, found = c.Context, true
			break
		}
	}
	if !found {
		return cl, u, at, fmt.Errorf("the kubeconfig has no context %q, which is its current-context", d.CurrentContext)
	}
	found = false
	for _, c := range d.Clusters {
		if c.Name == at.Cluster {
			cl, found = c.Cluster, true
			break
		}
	}
	if !found {
		return cl, u, at, fmt.Errorf("the kubeconfig has no cluster %q, which its context names", at.Cluster)
	}
	for _, c := range d.Users {
		if c.Name == at.User {
			return cl, c.User, at, nil
		}
	}
	if at.User != "" {
		return cl, u, at, fmt.Errorf("the kubeconfig has no user %q, which its context names", at.User)
	}
	return cl, u, at, nil
}

// kubeconfig makes a session of a kubeconfig's text. Paths in it start at folder, which is
// empty for a text that is no file's.
func kubeconfig(text []byte, folder, proxy string, shared outputs.TLSClient) (*session, error) {
	d, err := parse(text)
	if err != nil {
		return nil, err
	}
	cl, u, at, err := d.choose()
	if err != nil {
		return nil, err
	}
	return newSession(cl, u, at, &reader{folder: folder}, proxy, shared)
}

func newSession(cl cluster, u user, at place, r *reader, proxy string, shared outputs.TLSClient) (*session, error) {
	if err := httpx.CheckBase(cl.Server, "username and password of its user"); err != nil {
		return nil, fmt.Errorf("the kubeconfig's server %w", err)
	}
	if at.Namespace != "" {
		if err := CheckName(at.Namespace); err != nil {
			return nil, fmt.Errorf("the kubeconfig's namespace %w", err)
		}
	}
	var err error
	s := &session{server: strings.TrimRight(cl.Server, "/"), namespace: at.Namespace}
	if s.header, err = u.impersonation(); err != nil {
		return nil, err
	}
	if proxy == "" {
		proxy = cl.ProxyURL
	}
	if s.proxy, err = httpx.ProxyOf(proxy); err != nil {
		return nil, fmt.Errorf("the kubeconfig's proxy-url %w", err)
	}
	ca, err := r.content("certificate-authority", cl.CertificateAuthorityData, cl.CertificateAuthority)
	if err != nil {
		return nil, err
	}
	cl.CertificateAuthorityData = base64.StdEncoding.EncodeToString(ca) // for a plugin
	if s.tls, err = cl.tls(r, ca, shared); err != nil {
		return nil, err
	}
	if s.auth, err = u.authority(r, cl, s); err != nil {
		return nil, err
	}
	s.files = r.files
	return s, nil
}

// reader reads the files of a session, and keeps what they were like.
type reader struct {
	folder string // where the paths of a kubeconfig start
	files  []file
}

// read looks at the file first: what is written meanwhile counts as a change.
func (r *reader) read(path string) ([]byte, error) {
	stamp := stampOf(path)
	b, err := readFile(path)
	if err == nil {
		r.files = append(r.files, file{path, stamp})
	}
	return b, err
}

func (r *reader) path(name string) string {
	if !filepath.IsAbs(name) {
		return filepath.Join(r.folder, name)
	}
	return name
}

// content is what a key's data, in base64, or else the file that another key names holds;
// nil for neither.
func (r *reader) content(key, data, name string) ([]byte, error) {
	switch {
	case data != "":
		b, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(data), ""))
		if err != nil {
			return nil, fmt.Errorf("the kubeconfig's %s-data is not base64", key)
		}
		return b, nil
	case name != "":
		b, err := r.read(r.path(name))
		if err != nil {
			return nil, fmt.Errorf("the kubeconfig's %s: %w", key, err)
		}
		return b, nil
	}
	return nil, nil
}

// tls are the settings for connections to the cluster. Its own authority, if it has one,
// is the only one that is trusted.
func (cl cluster) tls(r *reader, ca []byte, shared outputs.TLSClient) (*tls.Config, error) {
	if ca != nil && cl.InsecureSkipTLSVerify {
		return nil, errors.New("the kubeconfig's cluster has both a certificate-authority and insecure-skip-tls-verify")
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: cl.TLSServerName, InsecureSkipVerify: cl.InsecureSkipTLSVerify}
	if ca == nil && shared.CACertFile != "" {
		var err error
		if ca, err = r.read(shared.CACertFile); err != nil {
			return nil, fmt.Errorf("load certificate authorities: %w", err)
		}
		if c.RootCAs, err = x509.SystemCertPool(); err != nil {
			c.RootCAs = nil
		}
	}
	if ca == nil {
		return c, nil
	}
	if c.RootCAs == nil {
		c.RootCAs = x509.NewCertPool()
	}
	if !c.RootCAs.AppendCertsFromPEM(ca) {
		return nil, errors.New("the Kubernetes API's certificate authority holds no PEM certificate")
	}
	return c, nil
}

// impersonation are the headers that ask to act as another.
func (u user) impersonation() (http.Header, error) {
	if u.As == "" {
		if u.AsUID != "" || len(u.AsGroups) > 0 || len(u.AsUserExtra) > 0 {
			return nil, errors.New("the kubeconfig's user has as-uid, as-groups or as-user-extra without as")
		}
		return nil, nil
	}
	h := http.Header{}
	h.Set("Impersonate-User", u.As)
	if u.AsUID != "" {
		h.Set("Impersonate-Uid", u.AsUID)
	}
	for _, g := range u.AsGroups {
		h.Add("Impersonate-Group", g)
	}
	for key, values := range u.AsUserExtra {
		for _, v := range values {
			h.Add("Impersonate-Extra-"+escapeHeader(key), v)
		}
	}
	for _, values := range h {
		if !headerValue(strings.Join(values, "")) {
			return nil, errors.New("the kubeconfig's user impersonates one whose name has a control character")
		}
	}
	return h, nil
}

// escapeHeader escapes in a name what a header's name cannot have, and %.
func escapeHeader(name string) string {
	var b strings.Builder
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("!#$&'*+-.^_`|~", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// headerValue reports whether a header can have the value.
func headerValue(value string) bool {
	return !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

// authority chooses how the user shows who it is, in kubectl's order. A certificate goes
// into the session's TLS settings.
func (u user) authority(r *reader, cl cluster, s *session) (authority, error) {
	cert, err := r.content("client-certificate", u.ClientCertificateData, u.ClientCertificate)
	if err != nil {
		return nil, err
	}
	key, err := r.content("client-key", u.ClientKeyData, u.ClientKey)
	if err != nil {
		return nil, err
	}
	if cert != nil || key != nil {
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("the kubeconfig's client certificate: %w", err)
		}
		s.tls.Certificates = []tls.Certificate{pair}
	}
	switch {
	case u.TokenFile != "":
		return newTokenFile(r.path(u.TokenFile))
	case !headerValue(u.Token):
		return nil, errors.New("the kubeconfig's token has a control character")
	case u.Token != "":
		return static{authorization: "Bearer " + u.Token}, nil
	case u.Username != "":
		both := base64.StdEncoding.EncodeToString([]byte(u.Username + ":" + u.Password))
		return static{authorization: "Basic " + both, password: u.Password}, nil
	case u.Exec != nil:
		return u.Exec.plugin(r, cl)
	case u.AuthProvider != nil:
		return nil, fmt.Errorf("the kubeconfig's auth-provider %q no longer exists in Kubernetes: use exec", u.AuthProvider.Name)
	}
	return static{}, nil
}

// readFile reads a file of bounded size.
func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%q is not a regular file", path)
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%q is larger than %d bytes", path, maxFile)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile { // it has grown
		return nil, fmt.Errorf("%q is larger than %d bytes", path, maxFile)
	}
	return b, err
}
