package forwarder

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
)

const (
	lineInForce  = "the new configuration is in force"
	lineNotTaken = "the new configuration was not taken up"
)

// journalOfLines is a log that a test reads line by line.
type journalOfLines struct{ lines chan string }

func (j journalOfLines) Write(line []byte) (int, error) {
	select {
	case j.lines <- string(line):
	default: // nobody reads this test's log
	}
	return len(line), nil
}

// until returns the lines up to the first that has text in it.
func (j journalOfLines) until(t testing.TB, text string) []string {
	t.Helper()
	deadline := time.After(30 * time.Second)
	var all []string
	for {
		select {
		case line := <-j.lines:
			all = append(all, line)
			if strings.Contains(line, text) {
				return all
			}
		case <-deadline:
			t.Fatalf("the log has no line with %q:\n%s", text, strings.Join(all, ""))
		}
	}
}

// reloadable is a running forwarder whose configuration is a file.
type reloadable struct {
	running
	t    testing.TB
	file string
	log  journalOfLines
	now  chan os.Signal
}

// startFile runs a forwarder with the configuration in file, its data in a new folder.
func startFile(t testing.TB, file string, environ ...string) *reloadable {
	t.Helper()
	r := &reloadable{t: t, file: file, log: journalOfLines{make(chan string, 10000)}, now: make(chan os.Signal)}
	environ = append([]string{"LISTENADDRESS=127.0.0.1", "UI_LISTENPORT=0", "SAKER_DATA_DIR=" + t.TempDir()}, environ...)
	if text, err := os.ReadFile(file); err == nil && !strings.Contains(string(text), "listenport") {
		environ = append(environ, "LISTENPORT=0")
	}
	read := func() (*Loaded, error) { return LoadConfig(config.Source{File: file, Environ: environ}) }
	l, err := read()
	if err != nil {
		t.Fatal(err)
	}
	log, level := l.LevelLogger(r.log)
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan Addresses, 1), make(chan error, 1)
	go func() {
		done <- Run(ctx, l, Options{
			Log: log, Level: level, Version: "v0", Ready: func(a Addresses) { ready <- a },
			Reload: read, ReloadNow: r.now,
		})
	}()
	r.stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	select {
	case r.Addresses = <-ready:
	case err := <-done:
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// startText runs a forwarder with the given configuration in a file of its own.
func startText(t testing.TB, text string, environ ...string) *reloadable {
	t.Helper()
	file := filepath.Join(t.TempDir(), "saker.yaml")
	writeFile(t, file, text)
	return startFile(t, file, environ...)
}

func writeFile(t testing.TB, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// reload writes the configuration anew, asks for it to be read and returns the log up to
// the line that says what came of it.
func (r *reloadable) reload(text, result string) string {
	r.t.Helper()
	writeFile(r.t, r.file, text)
	r.now <- syscall.SIGHUP
	return strings.Join(r.log.until(r.t, result), "")
}

func (r *reloadable) post(c *http.Client, n int) {
	r.t.Helper()
	if status, text := send(r.t, c, http.MethodPost, "http://"+r.Ingest.String()+"/", alert(n)); status != http.StatusOK {
		r.t.Fatalf("%d %s", status, text)
	}
}

func (r *reloadable) metric(c *http.Client, name string) string {
	r.t.Helper()
	_, page := send(r.t, c, http.MethodGet, "http://"+r.Ingest.String()+"/metrics", "")
	for line := range strings.Lines(page) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// counter is a webhook that counts events by rule and remembers from where they came.
type counter struct {
	*httptest.Server
	mu    sync.Mutex
	rules map[string]int
	peers map[string]bool
	came  chan struct{}
}

func newCounter(t testing.TB) *counter {
	c := &counter{rules: map[string]int{}, peers: map[string]bool{}, came: make(chan struct{}, 1)}
	c.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // cut off; it is sent again
		}
		e, err := event.Decode(body)
		if err != nil {
			t.Error(err)
		}
		c.mu.Lock()
		c.rules[e.Rule]++
		c.peers[r.RemoteAddr] = true
		c.mu.Unlock()
		select {
		case c.came <- struct{}{}:
		default:
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// seen returns how many different events came and how many came again.
func (c *counter) seen() (different, again int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.rules {
		different++
		again += n - 1
	}
	return different, again
}

// awaitAll waits until the counters together have n different events.
func awaitAll(t testing.TB, n int, all ...*counter) {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		rules := map[string]bool{}
		for _, c := range all {
			c.mu.Lock()
			for rule := range c.rules {
				rules[rule] = true
			}
			c.mu.Unlock()
		}
		if len(rules) >= n {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("%d of %d events came", len(rules), n)
		}
	}
}

func TestReloadsUnderLoadTouchOnlyWhatChanges(t *testing.T) {
	const reloads = 20
	same, left, right := newCounter(t), newCounter(t), newCounter(t)
	text := func(n int) string {
		address := []string{left.URL, right.URL}[n%2]
		return fmt.Sprintf("webhook: {address: %q, maxconcurrentrequests: 1}\noutputs: {moving: {type: webhook, address: %q}}\n", same.URL, address)
	}
	r := startText(t, text(0))
	sending, stop := context.WithCancel(t.Context())
	defer stop()
	var sender sync.WaitGroup
	sent := 0
	sender.Go(func() {
		for c := client(t, nil); sending.Err() == nil; sent++ {
			r.post(c, sent)
		}
	})
	for n := range reloads {
		if got := r.reload(text(n+1), lineInForce); !strings.Contains(got, "outputs_changed=[moving]") {
			t.Errorf("reload %d says %s", n, got)
		}
	}
	stop()
	sender.Wait()
	awaitAll(t, sent, same)
	awaitAll(t, sent, left, right)
	if _, again := same.seen(); again > 0 || len(same.peers) != 1 {
		t.Errorf("the output that stayed got %d events twice, over the connections %v", again, same.peers)
	}
	_, first := left.seen()
	_, second := right.seen()
	l, _ := left.seen()
	o, _ := right.seen()
	if again := first + second + l + o - sent; again > 0 {
		t.Errorf("the output that moved got %d of %d events twice", again, sent)
	}
	if l == 0 || o == 0 {
		t.Errorf("the output that moved sent %d events to one place and %d to the other", l, o)
	}
	t.Logf("%d events during %d reloads", sent, reloads)
}

func TestABadFileChangesNothingAndSaysWhy(t *testing.T) {
	target := newCounter(t)
	good := fmt.Sprintf("webhook: {address: %q}\n", target.URL)
	r := startText(t, good)
	c := client(t, nil)
	for _, tc := range []struct{ name, text, want string }{
		{"unknown key", good + "webhok: {}\n", `saker.yaml:2: webhok: unknown key`},
		{"not YAML", good + "webhook: [", "saker.yaml:2"},
		{"a setting that cannot work", good + "limits: {maxevents: 0}\n", "saker.yaml:2: limits.maxevents: must be at least 1"},
		{"a secret's file that is not there", good + "auth: {token_file: /no/such}\n", `saker.yaml:2: auth.token_file: read \"/no/such\"`},
		{"an output that cannot be built", good + "tlsclient: {cacertfile: /no/such}\n", `set up output \"webhook\"`},
	} {
		got := r.reload(tc.text, lineNotTaken)
		if !strings.Contains(got, tc.want) {
			t.Errorf("%s: the log lacks %s:\n%s", tc.name, tc.want, got)
		}
		if v := r.metric(c, "saker_config_last_reload_successful"); v != "0" {
			t.Errorf("%s: the metric is %q", tc.name, v)
		}
	}
	if _, text := send(t, c, http.MethodGet, "http://"+r.Page.String()+"/api/v2/configuration", ""); !strings.Contains(text, "/no/such") {
		t.Errorf("the API says %s", text)
	}
	r.post(c, 1)
	awaitAll(t, 1, target)
	if len(target.peers) != 1 {
		t.Errorf("events came over %v", target.peers)
	}
	r.reload(good, lineInForce)
	if v := r.metric(c, "saker_config_last_reload_successful"); v != "1" {
		t.Errorf("after a good file the metric is %q", v)
	}
	if _, text := send(t, c, http.MethodGet, "http://"+r.Page.String()+"/api/v2/configuration", ""); strings.Contains(text, "error") {
		t.Errorf("after a good file the API says %s", text)
	}
}

// Nobody sends a signal in Kubernetes: the file changes below a symbolic link.
func TestTheSwapOfAMountedFileIsTakenUpByItself(t *testing.T) {
	before, after := newCounter(t), newCounter(t)
	dir := t.TempDir()
	for name, target := range map[string]*counter{"1": before, "2": after} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(dir, name, "saker.yaml"), fmt.Sprintf("webhook: {address: %q}\n", target.URL))
	}
	link := func(to, from string) {
		t.Helper()
		if err := os.Symlink(to, filepath.Join(dir, from)); err != nil {
			t.Fatal(err)
		}
	}
	link("1", "..data")
	link("..data/saker.yaml", "saker.yaml")
	r := startFile(t, filepath.Join(dir, "saker.yaml"))
	c := client(t, nil)
	r.post(c, 1)
	awaitAll(t, 1, before)
	link("2", "..data_tmp")
	if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
	r.log.until(t, lineInForce)
	r.post(c, 2)
	awaitAll(t, 1, after)
	if n, _ := before.seen(); n != 1 {
		t.Errorf("the destination of before got %d events", n)
	}
}

func TestANewSecretInItsFileIsTakenUpByItself(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "token")
	writeFile(t, secret, "one\n")
	r := startText(t, "auth: {token_file: "+secret+"}\n")
	writeFile(t, secret, "another\n")
	r.log.until(t, lineInForce)
	for token, want := range map[string]int{"one": http.StatusUnauthorized, "another": http.StatusOK} {
		if got := postAs(t, r, token, alert(1)); got != want {
			t.Errorf("the token %q is answered with %d", token, got)
		}
	}
}

func postAs(t *testing.T, r *reloadable, token, body string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+r.Ingest.String()+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := client(t, nil).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

func TestAnOutputThatComesBackGoesOnWhereItStopped(t *testing.T) {
	first, second := newCounter(t), newCounter(t)
	with := fmt.Sprintf("webhook: {address: %q}\noutputs: {second: {type: webhook, address: %q}}\n", first.URL, second.URL)
	without := fmt.Sprintf("webhook: {address: %q}\n", first.URL)
	r := startText(t, with)
	c := client(t, nil)
	r.post(c, 1)
	awaitAll(t, 1, first)
	awaitAll(t, 1, second)
	if got := r.reload(without, lineInForce); !strings.Contains(got, "outputs_removed=[second]") {
		t.Error(got)
	}
	r.post(c, 2)
	awaitAll(t, 2, first)
	if n, _ := second.seen(); n != 1 {
		t.Errorf("the output that was taken out got %d events", n)
	}
	if v := r.metric(c, `saker_output_delivered_events_total{output="second"}`); v != "" {
		t.Errorf("the metrics still have it: %s", v)
	}
	if got := r.reload(with, lineInForce); !strings.Contains(got, "outputs_added=[second]") {
		t.Error(got)
	}
	awaitAll(t, 2, second)
	if _, again := second.seen(); again > 0 {
		t.Errorf("%d events came twice", again)
	}
}

func TestAnAddedOutputGetsTheEventsFromThenOn(t *testing.T) {
	target := newCounter(t)
	r := startText(t, "")
	c := client(t, nil)
	r.post(c, 1)
	r.reload(fmt.Sprintf("webhook: {address: %q}\n", target.URL), lineInForce)
	r.post(c, 2)
	awaitAll(t, 1, target)
	target.mu.Lock()
	defer target.mu.Unlock()
	if target.rules["rule 2"] != 1 || len(target.rules) != 1 {
		t.Errorf("it got %v", target.rules)
	}
}

func TestWhatIsSaidAboutRequestsComesIntoForceAtOnce(t *testing.T) {
	target := newReceiver(t)
	text := fmt.Sprintf("webhook: {address: %q}\n", target.URL)
	r := startText(t, text)
	c := client(t, nil)
	stream, err := c.Get("http://" + r.Page.String() + "/api/v2/events/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	got := r.reload(text+"customfields: {cluster: prod}\nlimits: {maxevents: 1}\nauth: {token: t0ken}\nlog: {level: debug}\n", lineInForce)
	if !strings.Contains(got, "as labels of the metrics they change with a restart only") {
		t.Errorf("the log does not say that the metrics' labels stay:\n%s", got)
	}
	if _, err := io.ReadAll(stream.Body); err != nil {
		t.Errorf("the stream that was open before the credentials ended with %v", err)
	}
	for _, url := range []string{"http://" + r.Ingest.String() + "/metrics", "http://" + r.Page.String() + "/"} {
		if status, _ := send(t, c, http.MethodGet, url, ""); status != http.StatusUnauthorized {
			t.Errorf("%s: %d", url, status)
		}
	}
	if got := postAs(t, r, "t0ken", alert(1)); got != http.StatusOK {
		t.Fatalf("an event with the new token: %d", got)
	}
	if v, _ := target.wait(t, 1)[0].Field("cluster"); v.Text() != "prod" {
		t.Errorf("the event's field is %q", v.Text())
	}
	if got := postAs(t, r, "t0ken", "{"); got != http.StatusBadRequest {
		t.Errorf("half an event is answered with %d", got)
	}
	r.log.until(t, "level=DEBUG")
	r.reload(text+"limits: {maxevents: 1}", lineInForce)
	if status, _ := send(t, c, http.MethodPost, "http://"+r.Ingest.String()+"/", alert(1)+alert(2)); status == http.StatusOK {
		t.Error("two events are taken where one is allowed")
	}
}

func TestWhatNeedsARestartIsNamedAndKept(t *testing.T) {
	r := startText(t, "datadir: "+t.TempDir()+"\n", "SAKER_DATA_DIR=")
	text := "listenport: 1\ndatadir: /elsewhere\njournal: {maxbytes: 2GiB}\nui: {enabled: false}\nlimits: {maxconnections: 5, maxevents: 5}\nshutdowntimeout: 90s\n"
	got := r.reload(text, lineInForce)
	want := `"some settings have changed that come into force with a restart only" keys="[limits.maxconnections datadir journal.maxbytes ui.enabled shutdowntimeout]"`
	if !strings.Contains(got, want) {
		t.Errorf("the log lacks %s:\n%s", want, got)
	}
	c := client(t, nil)
	r.post(c, 1)
	if status, _ := send(t, c, http.MethodGet, "http://"+r.Page.String()+"/", ""); status != http.StatusOK {
		t.Errorf("the page answers %d", status)
	}
	// It is said once, and not with every further reload.
	if got := r.reload(text+"customtags: [a]\n", lineInForce); strings.Contains(got, "restart") {
		t.Errorf("it is said again:\n%s", got)
	}
}

func TestReloadsAreIgnoredOnceTheStopHasBegun(t *testing.T) {
	target := newCounter(t)
	text := fmt.Sprintf("webhook: {address: %q}\n", target.URL)
	r := startText(t, text)
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		for range 100 {
			select {
			case r.now <- syscall.SIGHUP:
			case <-t.Context().Done():
				return
			case <-time.After(20 * time.Millisecond):
				return
			}
		}
	}()
	r.log.until(t, lineInForce)
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	<-asked
}

func TestOutputsThatHangHoldUpNeitherReloadNorStop(t *testing.T) {
	release := make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(hanging.Close)
	t.Cleanup(func() { close(release) })
	target := newCounter(t)
	text := func(path string) string {
		all := "shutdowntimeout: 3s\noutputs:\n"
		for n := range 10 {
			all += fmt.Sprintf("  up-%d: {type: webhook, address: %q}\n", n, target.URL)
			all += fmt.Sprintf("  hangs-%d: {type: webhook, timeout: 1m, address: %q}\n", n, hanging.URL+path)
		}
		return all
	}
	r := startText(t, text("/one"))
	c := client(t, nil)
	r.post(c, 1)
	awaitAll(t, 1, target)
	r.reload(text("/two"), lineInForce)
	r.post(c, 2)
	awaitAll(t, 2, target)
	start := time.Now()
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	// The timeout of the attempts is a minute; the stop may take 3 seconds.
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("the stop took %s", took)
	}
}

func TestAnOutputIsTheSameOnlyWithTheSameSettings(t *testing.T) {
	one := func(text string) (Instance, outputs.Env) {
		l := mustLoad(t, text)
		return l.Outputs[0], l.env("v0", slog.New(slog.DiscardHandler))
	}
	const text = "slack: {webhookurl: http://x.test/, messageformat: 'on {{ .Hostname }}'}\ncustomfields: {x: y}"
	in, env := one(text)
	o, err := newOutput(in, env, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		text string
		want bool
	}{
		{text, true},
		{"customfields: {x: z}\n" + strings.SplitN(text, "\n", 2)[0], true},
		{strings.Replace(text, "x.test", "y.test", 1), false},
		{strings.Replace(text, "'on ", "'at ", 1), false},
		{strings.Replace(text, "x: y", "z: y", 1), false},
		{text + "\ntlsclient: {cacertfile: /x}", false},
		{strings.Replace(text, "slack: {", "slack: {minimumpriority: error, ", 1), false},
		{strings.Replace(text, "slack: {", "slack: {match: rule != \"x\", ", 1), false},
	} {
		if got := o.isFor(one(tc.text)); got != tc.want {
			t.Errorf("%s: %t", tc.text, got)
		}
	}
}

// A Secret and the ConfigMap that names it reach a pod at different times.
func TestWhatAConfigurationLacksMayComeLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := journalOfLines{make(chan string, 100)}
		l := mustLoad(t, "ui: {enabled: false}")
		tries := 0
		now := make(chan os.Signal)
		f, err := newForwarder(l, Options{
			Log: slog.New(slog.NewTextHandler(log, nil)), ReloadNow: now,
			Reload: func() (*Loaded, error) {
				if tries++; tries < 4 {
					return nil, config.Problems{{File: "saker.yaml", Line: 3, Message: "is not there"}}
				}
				return mustLoad(t, "ui: {enabled: false}\ncustomtags: [a]"), nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		f.journal = &notebook{}
		f.delivery.journal = f.journal
		ctx, stop := context.WithCancel(t.Context())
		var wait sync.WaitGroup
		wait.Go(func() { f.followConfig(ctx, ctx, func(err error) { t.Error(err) }) })
		now <- syscall.SIGHUP
		synctest.Wait()
		if got := f.reloads.get(); got.Error != "saker.yaml:3: is not there" || got.FailedAt.IsZero() {
			t.Errorf("after the first try: %+v", got)
		}
		time.Sleep(5 * reloadRetry)
		synctest.Wait()
		if got := f.reloads.get(); tries != 4 || got.Error != "" || f.live.Load().CustomTags == nil {
			t.Errorf("after %d tries: %+v", tries, got)
		}
		stop()
		wait.Wait()
		close(log.lines)
		said := 0
		for line := range log.lines {
			if strings.Contains(line, "is not there") {
				said++
			}
		}
		if said != 1 {
			t.Errorf("the same mistake is logged %d times", said)
		}
	})
}
