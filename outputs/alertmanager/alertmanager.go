// Package alertmanager posts events as alerts to one or several Prometheus Alertmanagers.
package alertmanager

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:  "alertmanager",
		Title: "AlertManager",
		Doc:   "Posts events as alerts to Prometheus Alertmanager; to each, if there are several.",
		Page:  page,
		Batch: 64,
		New:   New,
		Split: split,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	HostPort                 []string          `key:"hostport" required:"true" doc:"Base URLs of the Alertmanagers. Each of them gets every event, from a queue of its own."`
	Endpoint                 string            `key:"endpoint" default:"/api/v2/alerts" doc:"Path of the alerts API, appended to each base URL."`
	ExpiresAfter             time.Duration     `key:"expiresafter" default:"0s" unit:"s" doc:"How long after the event its alert counts as resolved, in seconds or with a unit; 0 leaves that to Alertmanager's resolve_timeout."`
	ExtraLabels              map[string]string `key:"extralabels" doc:"Labels added to each alert. They replace others of the same name."`
	ExtraAnnotations         map[string]string `key:"extraannotations" doc:"Annotations added to each alert. They replace others of the same name."`
	CustomSeverityMap        map[Level]string  `key:"customseveritymap" doc:"Values of the label severity by priority, in place of the usual information, warning and critical. A priority is given by its name or by its number, 1 for debug to 8 for emergency."`
	DropEventThresholds      Thresholds        `key:"dropeventthresholds" default:"10000:critical, 1000:critical, 100:critical, 10:warning, 1:warning" doc:"For an event that reports dropped system calls: the least priority by the number of drops. Fields n_drop* then show the threshold that was exceeded, to keep the labels few."`
	DropEventDefaultPriority event.Priority    `key:"dropeventdefaultpriority" default:"critical" doc:"The least priority of an event with drops below all thresholds."`
	CustomHeaders            httpx.Headers     `key:"customheaders" doc:"Headers added to each request."`
}

// labelName is what Alertmanager allows as the name of a label or annotation.
var labelName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// Validate checks addresses, names and headers.
func (c Config) Validate() error {
	var errs []error
	for _, host := range c.HostPort {
		errs = append(errs, config.At("hostport", httpx.CheckURL(host)))
	}
	if c.Endpoint != "" && !strings.HasPrefix(c.Endpoint, "/") {
		errs = append(errs, config.At("endpoint", errors.New("must begin with /")))
	}
	if c.ExpiresAfter < 0 {
		errs = append(errs, config.At("expiresafter", errors.New("must not be negative")))
	}
	return errors.Join(append(errs,
		config.At("extralabels", checkNames(c.ExtraLabels)),
		config.At("extraannotations", checkNames(c.ExtraAnnotations)),
		config.At("customheaders", httpx.CheckHeaders(c.CustomHeaders)),
	)...)
}

func checkNames(m map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if !labelName.MatchString(name) {
			return fmt.Errorf("%q is no name of a label: it must be of letters, digits and _, and not begin with a digit", name)
		}
	}
	return nil
}

// split gives each Alertmanager a queue of its own, so that one that is down keeps no alert
// from the others.
func split(c Config) []outputs.Part[Config] {
	if len(c.HostPort) < 2 {
		return nil
	}
	var parts []outputs.Part[Config]
	seen := map[string]int{}
	for _, host := range c.HostPort {
		one := c
		one.HostPort = []string{host}
		suffix := host
		if u, err := url.Parse(host); err == nil && u.Host != "" {
			suffix = u.Host // without what may be a password
		}
		if seen[suffix]++; seen[suffix] > 1 {
			suffix += "-" + strconv.Itoa(seen[suffix])
		}
		parts = append(parts, outputs.Part[Config]{Suffix: suffix, Config: one})
	}
	return parts
}

type sender struct {
	Config
	http    *http.Client
	address string
	now     func() time.Time
}

// New makes a Sender for the one Alertmanager of c. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	if len(c.HostPort) != 1 {
		return nil, fmt.Errorf("a sender has one Alertmanager, not %d", len(c.HostPort))
	}
	client, err := httpx.New(c.Config, env)
	if err != nil {
		return nil, err
	}
	return &sender{c, client, strings.TrimRight(c.HostPort[0], "/") + c.Endpoint, time.Now}, nil
}

// Send posts the batch. That it may be posted again does no harm: an alert with the same
// labels is the same alert to Alertmanager.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	body, err := httpx.Encode(payload(s.Config, batch, s.now()))
	if err != nil {
		return err
	}
	header := http.Header{}
	httpx.SetHeaders(header, s.CustomHeaders)
	_, err = httpx.Do(ctx, s.http, http.MethodPost, s.address, body, header)
	return err
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}
