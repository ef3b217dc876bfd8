// Package podman asks Podman's own HTTP API about containers.
package podman

import (
	"cmp"
	"context"
	"net/url"
	"strings"

	"github.com/saker-security/saker/sensor/container"
	"github.com/saker-security/saker/sensor/container/unixhttp"
)

// Client is a connection to one Podman service.
type Client struct {
	http *unixhttp.Client
	// prefix stands before the paths of the API's version.
	prefix string
}

// Open connects to the service behind the socket and returns once it has answered.
func Open(ctx context.Context, socket string) (*Client, error) {
	c := &Client{http: unixhttp.New(socket)}
	header, err := c.http.Get(ctx, "/_ping", nil)
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	c.prefix = "/v" + url.PathEscape(cmp.Or(header.Get("Libpod-API-Version"), "4.0.0")) + "/libpod"
	return c, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.http.Close() }

// List returns the ids of all containers, also those that do not run.
func (c *Client) List(ctx context.Context) ([]string, error) {
	var found []struct {
		ID string `json:"Id"`
	}
	if err := c.http.List(ctx, c.prefix+"/containers/json?all=true", &found); err != nil {
		return nil, err
	}
	ids := make([]string, len(found))
	for i := range found {
		ids[i] = found[i].ID
	}
	return ids, nil
}

// Watch calls changed whenever a container is made, started or removed, until ctx or the
// connection ends. It never returns nil.
func (c *Client) Watch(ctx context.Context, changed func(container.Change)) error {
	filters := url.QueryEscape(`{"type":["container"],"event":["create","start","remove"]}`)
	return c.http.Events(ctx, c.prefix+"/events?stream=true&filters="+filters, changed)
}

// description is the part of an inspection's answer that is looked at.
type description struct {
	ID          string `json:"Id"`
	Name        string
	Image       string
	ImageName   string
	ImageDigest string
	Config      struct {
		Labels      map[string]string
		Healthcheck *struct{ Test []string }
	}
	HostConfig struct {
		Privileged                    bool
		PidMode, NetworkMode, IpcMode string
	}
	Mounts []struct {
		Source, Destination, Mode string
		RW                        bool
		Propagation               string
	}
	NetworkSettings struct {
		IPAddress string
		Networks  map[string]struct{ IPAddress string }
	}
}

// Inspect returns what is known of the container with the given whole id. The error is
// container.ErrUnknown when there is none.
func (c *Client) Inspect(ctx context.Context, id string) (*container.Info, error) {
	var d description
	if _, err := c.http.Get(ctx, c.prefix+"/containers/"+url.PathEscape(id)+"/json", &d); err != nil {
		return nil, err
	}
	if d.ID != id {
		return nil, container.ErrUnknown // the service also knows containers by name
	}
	info := &container.Info{
		ID:          container.ID{Full: id, Engine: container.Podman},
		Name:        strings.TrimPrefix(d.Name, "/"),
		Image:       d.ImageName,
		ImageID:     d.Image,
		ImageDigest: d.ImageDigest,
		Labels:      d.Config.Labels,
		Privileged:  &d.HostConfig.Privileged,
		HostPID:     new(d.HostConfig.PidMode == "host"),
		HostNetwork: new(d.HostConfig.NetworkMode == "host"),
		HostIPC:     new(d.HostConfig.IpcMode == "host"),
		IP:          d.NetworkSettings.IPAddress,
	}
	info.ImageRepository, info.ImageTag = container.Repository(d.ImageName)
	for _, m := range d.Mounts {
		info.Mounts = append(info.Mounts, container.Mount{
			Source: m.Source, Dest: m.Destination, Mode: m.Mode, Writable: m.RW, Propagation: m.Propagation,
		})
	}
	if h := d.Config.Healthcheck; h != nil {
		info.Healthcheck = container.Healthcheck(h.Test)
	}
	name := ""
	for k, n := range d.NetworkSettings.Networks {
		if d.NetworkSettings.IPAddress == "" && n.IPAddress != "" && (name == "" || k < name) {
			name, info.IP = k, n.IPAddress
		}
	}
	info.PodFromLabels()
	return info, nil
}
