package kubex

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

// Limits of a credential plugin.
const (
	pluginTime  = time.Minute
	pluginGrace = time.Second
	maxIssued   = 1 << 20
	// earlier is how long before it expires a credential is renewed.
	earlier = 30 * time.Second
)

// execConfig names the program that issues credentials, as the clouds' kubeconfigs do.
type execConfig struct {
	APIVersion string   `yaml:"apiVersion"`
	Command    string   `yaml:"command"`
	Args       []string `yaml:"args"`
	Env        []struct {
		Name  string `yaml:"name"`
		Value string `yaml:"value"`
	} `yaml:"env"`
	InstallHint        string `yaml:"installHint"`
	InteractiveMode    string `yaml:"interactiveMode"`
	ProvideClusterInfo bool   `yaml:"provideClusterInfo"`
}

// plugin runs the program when a credential is needed and keeps what it issues.
type plugin struct {
	execConfig
	path string
	info string // KUBERNETES_EXEC_INFO

	turn   chan struct{} // holds one token while nobody runs the program
	mu     sync.Mutex    // guards what follows
	issued credential
	until  time.Time // zero: for good
	valid  bool
}

func (e *execConfig) plugin(r *reader, cl cluster) (*plugin, error) {
	switch {
	case e.Command == "":
		return nil, errors.New("the kubeconfig's exec has no command")
	case e.APIVersion != "client.authentication.k8s.io/v1" && e.APIVersion != "client.authentication.k8s.io/v1beta1":
		return nil, fmt.Errorf("the kubeconfig's exec has apiVersion %q, which is not client.authentication.k8s.io/v1", e.APIVersion)
	case e.InteractiveMode == "Always":
		return nil, errors.New("the kubeconfig's exec has interactiveMode Always, and nobody is there to answer")
	}
	info, err := e.execInfo(cl)
	if err != nil {
		return nil, err
	}
	p := &plugin{execConfig: *e, path: e.Command, info: info, turn: make(chan struct{}, 1)}
	if strings.ContainsRune(e.Command, os.PathSeparator) {
		p.path = r.path(e.Command)
	}
	p.turn <- struct{}{}
	return p, nil
}

// execInfo is what the program is told about the cluster.
func (e *execConfig) execInfo(cl cluster) (string, error) {
	type clusterInfo struct {
		Server                   string `json:"server"`
		TLSServerName            string `json:"tls-server-name,omitempty"`
		InsecureSkipTLSVerify    bool   `json:"insecure-skip-tls-verify,omitempty"`
		CertificateAuthorityData string `json:"certificate-authority-data,omitempty"`
		ProxyURL                 string `json:"proxy-url,omitempty"`
	}
	var info struct {
		Kind       string `json:"kind"`
		APIVersion string `json:"apiVersion"`
		Spec       struct {
			Cluster     *clusterInfo `json:"cluster,omitempty"`
			Interactive bool         `json:"interactive"`
		} `json:"spec"`
	}
	info.Kind, info.APIVersion = "ExecCredential", e.APIVersion
	if e.ProvideClusterInfo {
		info.Spec.Cluster = &clusterInfo{cl.Server, cl.TLSServerName, cl.InsecureSkipTLSVerify, cl.CertificateAuthorityData, cl.ProxyURL}
	}
	b, err := json.Marshal(info)
	return string(b), err
}

// expire implements authority. A newer credential than the used one stays: another request
// has renewed it meanwhile.
func (p *plugin) expire(used credential) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.issued == used {
		p.valid = false
	}
	return true
}

func (p *plugin) kept() (credential, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fresh := p.valid && (p.until.IsZero() || time.Until(p.until) > earlier)
	return p.issued, fresh
}

func (p *plugin) credential(ctx context.Context) (credential, error) {
	if c, ok := p.kept(); ok {
		return c, nil
	}
	select {
	case <-p.turn:
		defer func() { p.turn <- struct{}{} }()
	case <-ctx.Done():
		return credential{}, ctx.Err()
	}
	if c, ok := p.kept(); ok { // somebody else has just run it
		return c, nil
	}
	out, err := p.run(ctx)
	if err != nil {
		return credential{}, err
	}
	c, until, err := readCredential(out, p.APIVersion)
	if err != nil {
		return credential{}, fmt.Errorf("the credential plugin %q %w", p.Command, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.issued, p.until, p.valid = c, until, true
	return c, nil
}

func (p *plugin) run(ctx context.Context) ([]byte, error) {
	tooSlow := fmt.Errorf("it did not end within %v", pluginTime)
	ctx, cancel := context.WithTimeoutCause(ctx, pluginTime, tooSlow)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.path, p.Args...)
	out, said := &bounded{max: maxIssued, strict: true}, &bounded{max: httpx.MaxAnswer}
	cmd.Stdout, cmd.Stderr = out, said
	cmd.Env = os.Environ()
	for _, v := range p.Env {
		cmd.Env = append(cmd.Env, v.Name+"="+v.Value)
	}
	cmd.Env = append(cmd.Env, "KUBERNETES_EXEC_INFO="+p.info)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = pluginGrace
	err := cmd.Run()
	switch {
	case err == nil:
		return out.text.Bytes(), nil
	case out.over:
		return nil, fmt.Errorf("run the credential plugin %q: %w", p.Command, errTooLong)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("run the credential plugin %q: %w", p.Command, context.Cause(ctx))
	case errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist):
		hint := httpx.OneLine(p.InstallHint)
		if hint != "" {
			hint = ": " + hint
		}
		return nil, outputs.Hold(fmt.Errorf("run the credential plugin %q: it is not there%s", p.Command, hint))
	}
	text := cmp.Or(httpx.OneLine(p.hide(said.text.String())), "it said nothing")
	return nil, fmt.Errorf("run the credential plugin %q: %w: %s", p.Command, err, text)
}

// hide removes from what the program said the values it was given, which may be secrets.
func (p *plugin) hide(text string) string {
	var values []string
	for _, v := range p.Env {
		values = append(values, v.Value)
	}
	slices.SortFunc(values, func(a, b string) int { return len(b) - len(a) })
	for _, v := range values {
		if len(v) >= shortest {
			text = strings.ReplaceAll(text, v, "[hidden]")
		}
	}
	return text
}

// readCredential reads what a plugin issued, and until when that is good. Its error shows
// nothing of it.
func readCredential(out []byte, apiVersion string) (credential, time.Time, error) {
	var issued struct {
		Kind       string `json:"kind"`
		APIVersion string `json:"apiVersion"`
		Status     *struct {
			ExpirationTimestamp   *time.Time `json:"expirationTimestamp"`
			Token                 string     `json:"token"`
			ClientCertificateData string     `json:"clientCertificateData"`
			ClientKeyData         string     `json:"clientKeyData"`
		} `json:"status"`
	}
	var c credential
	if err := json.Unmarshal(out, &issued); err != nil || issued.Kind != "ExecCredential" || issued.Status == nil {
		return c, time.Time{}, errors.New("did not write an ExecCredential with a status")
	}
	if issued.APIVersion != apiVersion {
		return c, time.Time{}, fmt.Errorf("wrote an ExecCredential of another version than %s", apiVersion)
	}
	s := issued.Status
	if s.Token != "" {
		if !headerValue(s.Token) {
			return c, time.Time{}, errors.New("wrote a token with a control character")
		}
		c.authorization = "Bearer " + s.Token
	}
	if s.ClientCertificateData != "" || s.ClientKeyData != "" {
		pair, err := tls.X509KeyPair([]byte(s.ClientCertificateData), []byte(s.ClientKeyData))
		if err != nil {
			return credential{}, time.Time{}, errors.New("wrote a certificate and key that do not belong together")
		}
		c.certificate = &pair
	}
	if c.authorization == "" && c.certificate == nil {
		return c, time.Time{}, errors.New("wrote neither a token nor a certificate")
	}
	var until time.Time
	if s.ExpirationTimestamp != nil {
		until = *s.ExpirationTimestamp
	}
	return c, until, nil
}

var errTooLong = fmt.Errorf("it wrote more than %d bytes", maxIssued)

// bounded keeps the start of what is written to it. It has no method but Write, so that
// io.Copy cannot go past the bound.
type bounded struct {
	text   bytes.Buffer
	max    int
	strict bool // refuses what is too much, and remembers it in over
	over   bool
}

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	if b.strict && len(p) > b.max-b.text.Len() {
		b.over = true
		return 0, errTooLong
	}
	b.text.Write(p[:min(len(p), b.max-b.text.Len())])
	return len(p), nil
}
