// Package docker asks Docker's HTTP API about containers. Podman's compatible API answers it
// as well.
package docker

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/saker-security/saker/sensor/container"
	"github.com/saker-security/saker/sensor/container/unixhttp"
)

// Client is a connection to one daemon.
type Client struct{ http *unixhttp.Client }

// Open connects to the daemon behind the socket and returns once it has answered.
func Open(ctx context.Context, socket string) (*Client, error) {
	c := &Client{unixhttp.New(socket)}
	if _, err := c.http.Get(ctx, "/_ping", nil); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.http.Close() }

// List returns the ids of all containers, also those that do not run.
func (c *Client) List(ctx context.Context) ([]string, error) {
	var found []struct{ ID string }
	if err := c.http.List(ctx, "/containers/json?all=1", &found); err != nil {
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
	filters := url.QueryEscape(`{"type":["container"],"event":["create","start","destroy","remove"]}`)
	return c.http.Events(ctx, "/events?filters="+filters, changed)
}

// description is the part of an inspection's answer that is looked at.
type description struct {
	ID     string
	Name   string
	Image  string
	Config struct {
		Image       string
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
	NetworkSettings network
}

type network struct {
	IPAddress string
	Networks  map[string]struct{ IPAddress string }
}

// Inspect returns what is known of the container with the given whole id. The error is
// container.ErrUnknown when there is none.
func (c *Client) Inspect(ctx context.Context, id string) (*container.Info, error) {
	var d description
	if _, err := c.http.Get(ctx, "/containers/"+url.PathEscape(id)+"/json", &d); err != nil {
		return nil, err
	}
	if d.ID != id {
		return nil, container.ErrUnknown // the daemon also knows containers by name
	}
	info := &container.Info{
		ID:          container.ID{Full: id, Engine: container.Docker},
		Name:        strings.TrimPrefix(d.Name, "/"),
		Image:       d.Config.Image,
		Labels:      d.Config.Labels,
		Privileged:  &d.HostConfig.Privileged,
		HostPID:     new(d.HostConfig.PidMode == "host"),
		HostNetwork: new(d.HostConfig.NetworkMode == "host"),
		HostIPC:     new(d.HostConfig.IpcMode == "host"),
	}
	for _, m := range d.Mounts {
		info.Mounts = append(info.Mounts, container.Mount{
			Source: m.Source, Dest: m.Destination, Mode: m.Mode, Writable: m.RW, Propagation: m.Propagation,
		})
	}
	if h := d.Config.Healthcheck; h != nil {
		info.Healthcheck = container.Healthcheck(h.Test)
	}
	info.PodFromLabels()
	if err := c.image(ctx, d.Image, info); err != nil {
		return nil, err
	}
	info.IP = c.address(ctx, &d)
	return info, nil
}

// image fills in what is known of the container's image. An image may have been removed since
// the container was made; then its name is what there is.
func (c *Client) image(ctx context.Context, id string, info *container.Info) error {
	var image struct {
		ID                    string
		RepoDigests, RepoTags []string
	}
	if _, err := c.http.Get(ctx, "/images/"+url.PathEscape(id)+"/json", &image); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("image %q: %w", id, err)
		}
		info.ImageID = strings.TrimPrefix(id, "sha256:")
		info.ImageRepository, info.ImageTag = container.Repository(info.Image)
		return nil
	}
	info.ImageID = strings.TrimPrefix(image.ID, "sha256:")
	for _, s := range image.RepoDigests {
		repository, digest, ok := strings.Cut(s, "@")
		if ok {
			info.ImageRepository, info.ImageDigest = repository, digest
			break
		}
	}
	for _, s := range image.RepoTags {
		repository, tag := container.Repository(s)
		if repository == "" || tag == "" || info.ImageRepository != "" && repository != info.ImageRepository {
			continue
		}
		// The first tag counts, unless the container was started by another.
		if info.ImageTag == "" || s == info.Image {
			info.ImageRepository, info.ImageTag = repository, tag
		}
	}
	return nil
}

// address is the container's address: that of the container whose network it shares if it has
// none itself.
func (c *Client) address(ctx context.Context, d *description) string {
	if ip := d.NetworkSettings.address(); ip != "" {
		return ip
	}
	other, shared := strings.CutPrefix(d.HostConfig.NetworkMode, "container:")
	if !shared {
		return ""
	}
	var second description
	if _, err := c.http.Get(ctx, "/containers/"+url.PathEscape(other)+"/json", &second); err != nil {
		return ""
	}
	return second.NetworkSettings.address()
}

// address is the one on the default network, else the first by the network's name that is
// not empty: newer daemons tell only those.
func (n *network) address() string {
	ip, name := n.IPAddress, ""
	if ip != "" {
		return ip
	}
	for k, v := range n.Networks {
		if v.IPAddress != "" && (name == "" || k < name) {
			name, ip = k, v.IPAddress
		}
	}
	return ip
}
