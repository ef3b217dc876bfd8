package policyreport

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/kubex"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

// TestRealServerKeepsReports runs against the cluster of the kubeconfig that
// SAKER_TEST_KUBECONFIG names. The custom resources of both APIs must be installed there. It
// works in a namespace of its own and on the cluster's reports, which it ends up deleting.
func TestRealServerKeepsReports(t *testing.T) {
	path := os.Getenv("SAKER_TEST_KUBECONFIG")
	if path == "" {
		t.Skip("the test needs a cluster: SAKER_TEST_KUBECONFIG")
	}
	for _, api := range []string{wgpolicy, openreports} {
		t.Run(strings.ReplaceAll(api, "/", " "), func(t *testing.T) { realReports(t, path, api) })
	}
}

func realReports(t *testing.T, path, api string) {
	outputstest.NoLeak(t)
	env := outputstest.Env(t)
	kube, err := kubex.New(kubex.Settings{Kubeconfig: path}, env)
	if err != nil {
		t.Fatal(err)
	}
	defer kube.Close()
	namespace := fmt.Sprintf("saker-test-%d", time.Now().UnixNano())
	body := fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":%q}}`, namespace)
	if _, err := kube.Do(t.Context(), http.MethodPost, "/api/v1/namespaces", body, nil); err != nil {
		t.Fatal(err)
	}
	open := func() *sender {
		c := Config{Enabled: true, Kubeconfig: config.NewSecret(path), API: api, FalcoNamespace: namespace, MaxEvents: 1000}
		s, err := New(c, env)
		if err != nil {
			t.Fatal(err)
		}
		return s.(*sender)
	}
	one := open()
	defer one.Close()
	at, everywhere := one.place(namespace), one.place("")
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		again, err := kubex.New(kubex.Settings{Kubeconfig: path}, env)
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		for _, p := range []string{at.path + "/" + at.name, everywhere.path + "/" + everywhere.name, "/api/v1/namespaces/" + namespace} {
			if _, err := again.Do(ctx, http.MethodDelete, p, nil, nil); err != nil {
				t.Error(err)
			}
		}
	})
	read := func(p place) (r report) {
		t.Helper()
		answer, err := kube.Do(t.Context(), http.MethodGet, p.path+"/"+p.name, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(answer, &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	inNamespace := func(i int) event.Event {
		return numbered(i, event.Error).WithFields(event.Field{Name: "k8s.ns.name", Value: event.StringValue(namespace)})
	}

	// Every event is taken, and a second time changes nothing.
	var all []event.Event
	for i, f := range outputstest.Events() {
		if e := f.Event; i%2 == 0 {
			all = append(all, e.WithFields(event.Field{Name: "k8s.ns.name", Value: event.StringValue(namespace)}))
		} else {
			all = append(all, e)
		}
	}
	one.Sources = nil
	for range 2 {
		if err := one.Send(t.Context(), all); err != nil {
			t.Fatal(err)
		}
	}
	var got int
	for _, p := range []place{at, everywhere} {
		r := read(p)
		got += len(r.Results)
		if n := r.Summary.Fail + r.Summary.Warn + r.Summary.Skip; n != len(r.Results) {
			t.Errorf("the summary counts %d of %d results", n, len(r.Results))
		}
	}
	if got != len(all) {
		t.Errorf("the reports have %d results, want %d", got, len(all))
	}

	// Two forwarders at once lose nothing.
	two := open()
	defer two.Close()
	before := len(read(at).Results)
	var wg sync.WaitGroup
	for w, s := range []*sender{one, two} {
		wg.Go(func() {
			for i := range 5 {
				if err := s.Send(t.Context(), []event.Event{inNamespace(1000*w + i)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := len(read(at).Results); n != before+10 {
		t.Errorf("the report has %d results, want %d", n, before+10)
	}

	// A report as large as it may become is stored.
	for range 3 {
		var batch []event.Event
		for i := range 100 {
			e := inNamespace(i)
			e.Time = time.Now()
			e.Output += strings.Repeat("x", 7000)
			batch = append(batch, e)
		}
		if err := one.Send(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	r := read(at)
	size := 0
	for _, raw := range r.Results {
		size += len(raw)
	}
	if size < maxResults*9/10 || size > maxResults {
		t.Errorf("the report has %d bytes of results", size)
	}
}

// TestRealServerWithoutTheNamespace is about events of a namespace that does not exist.
func TestRealServerWithoutTheNamespace(t *testing.T) {
	path := os.Getenv("SAKER_TEST_KUBECONFIG")
	if path == "" {
		t.Skip("the test needs a cluster: SAKER_TEST_KUBECONFIG")
	}
	s, err := New(Config{Enabled: true, Kubeconfig: config.NewSecret(path), API: wgpolicy, MaxEvents: 10}, outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	one := s.(*sender)
	defer one.Close()
	e := outputstest.Plain().WithFields(event.Field{Name: "k8s.ns.name", Value: event.StringValue("saker-no-such-namespace")})
	if err := one.Send(t.Context(), []event.Event{e}); err != nil {
		t.Fatal(err)
	}
	p := one.place("default")
	if _, err := one.kube.Do(t.Context(), http.MethodDelete, p.path+"/"+p.name, nil, nil); err != nil {
		t.Error(err)
	}
}
