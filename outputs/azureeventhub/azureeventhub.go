// Package azureeventhub sends events to an event hub of Azure Event Hubs.
//
// It speaks the REST interface of the service, which every tier has, over the port and the
// proxies that all HTTPS goes by.
package azureeventhub

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"net/http"
	"regexp"
	"strings"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:    "azureeventhub",
		Key:     "azure.eventhub",
		Title:   "EventHub",
		Doc:     "Sends each event to an event hub of Azure Event Hubs.",
		Page:    page,
		Batch:   500,
		Archive: true,
		New:     New,
	})
}

// maxRequest is the most bytes of a request with several events: the basic tier takes 256
// KB, the others 1 MB.
const maxRequest = 240 << 10

// The content types of one event and of several.
const (
	oneEvent   = "application/atom+xml;type=entry;charset=utf-8"
	manyEvents = "application/vnd.microsoft.servicebus.json"
)

// Config is what a user sets.
type Config struct {
	httpx.Config
	Namespace        string        `key:"namespace" doc:"Full name of the namespace: NAME.servicebus.windows.net. Needed unless connectionstring names it."`
	Name             string        `key:"name" required:"true" doc:"Name of the event hub."`
	ConnectionString config.Secret `key:"connectionstring" doc:"Connection string of a shared access policy with the claim Send. Empty for an account of Microsoft Entra: what AZURE_CLIENT_ID and its like name, workload identity, the managed identity of the machine, the Azure CLI."`
	Endpoint         string        `key:"endpoint" doc:"URL of the service, where it is not https://NAMESPACE."`
}

var (
	hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$`)
	hubName  = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,254}[A-Za-z0-9])?$`)
)

// Validate checks the names and the connection string.
func (c Config) Validate() error {
	var namespace, name error
	shared, accessErr := parseAccess(c.ConnectionString.Reveal())
	switch {
	case c.Namespace == "" && c.ConnectionString.IsZero():
		namespace = errors.New("is required without connectionstring")
	case c.Namespace != "" && !hostName.MatchString(c.Namespace):
		namespace = errors.New("must be the namespace's full name, NAME.servicebus.windows.net")
	case c.Namespace != "" && shared.host != "" && !strings.EqualFold(c.Namespace, shared.host):
		namespace = errors.New("is another one than that of connectionstring")
	}
	switch {
	case !hubName.MatchString(c.Name):
		name = errors.New("must be the name of an event hub")
	case shared.hub != "" && !strings.EqualFold(shared.hub, c.Name):
		name = errors.New("is another event hub than that of connectionstring")
	}
	var endpoint error
	if c.Endpoint != "" {
		endpoint = httpx.CheckBase(c.Endpoint, "connectionstring")
	}
	return errors.Join(
		config.At("namespace", namespace), config.At("name", name),
		config.At("connectionstring", accessErr), config.At("endpoint", endpoint),
	)
}

// authorizer makes the header Authorization of a request.
type authorizer interface {
	authorize(ctx context.Context) (string, error)
}

type sender struct {
	http    *http.Client
	address string
	auth    authorizer
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	client, err := httpx.New(c.Config, env)
	if err != nil {
		return nil, err
	}
	shared, err := parseAccess(c.ConnectionString.Reveal())
	if err != nil {
		return nil, err
	}
	host := cmp.Or(c.Namespace, shared.host)
	base := cmp.Or(c.Endpoint, "https://"+host)
	s := &sender{http: client, address: httpx.Join(base, "/"+c.Name+"/messages?timeout=60&api-version=2014-01")}
	if c.ConnectionString.IsZero() {
		s.auth = newEntra(client)
	} else {
		shared.resource = "https://" + strings.ToLower(host) + "/" + strings.ToLower(c.Name)
		s.auth = shared
	}
	return s, nil
}

// Send sends the batch, in several requests if it is too large for one.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	return httpx.Pieces(len(batch), func(from int) (int, error) {
		body, kind, to := request(batch, from)
		return to, s.post(ctx, body, kind)
	})
}

func (s *sender) post(ctx context.Context, body []byte, kind string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	authorization, err := s.auth.authorize(ctx)
	if err != nil {
		return err
	}
	call := httpx.Call{
		Method: http.MethodPost, Address: s.address, Body: body, Judge: judge,
		Header: http.Header{"Authorization": {authorization}, "Content-Type": {kind}},
	}
	_, err = call.Do(ctx, s.http)
	return err
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// request returns the body that sends events of the batch, from one place on, its type, and
// the place behind the last. An event alone is its JSON.
func request(batch []event.Event, from int) (body []byte, kind string, to int) {
	var text []byte
	body, to = httpx.Fill([]byte("["), from, len(batch), maxRequest, func(dst []byte, i int) []byte {
		if i > from {
			dst = append(dst, ',')
		}
		text = batch[i].AppendJSON(text[:0])
		dst = append(dst, `{"Body":`...)
		return append(event.AppendJSONString(dst, text), '}')
	})
	if to == from+1 {
		return batch[from].AppendJSON(nil), oneEvent, to
	}
	return append(body, ']'), manyEvents, to
}

// judge reads an answer that is not 2xx. The service says with 403, too, that a message is
// too large.
func judge(status int, header http.Header, body []byte) error {
	err := httpx.StatusError(status, header, body)
	text := strings.ToLower(string(body))
	if status == http.StatusForbidden && (strings.Contains(text, "too large") || strings.Contains(text, "message size") || strings.Contains(text, "messagesize")) {
		return outputs.Reject(errors.New(err.Error()))
	}
	return err
}
