// Package containerd asks containerd's own API about containers that no other API knows:
// those that ctr, nerdctl and others made in a namespace of theirs.
package containerd

import (
	"context"
	"fmt"

	containers "github.com/containerd/containerd/api/services/containers/v1"
	events "github.com/containerd/containerd/api/services/events/v1"
	images "github.com/containerd/containerd/api/services/images/v1"
	namespaces "github.com/containerd/containerd/api/services/namespaces/v1"
	"github.com/containerd/containerd/api/types"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/saker-security/saker/sensor/container"
	"github.com/saker-security/saker/sensor/container/unixgrpc"
)

// namespaceHeader is the header in which a call names the namespace that it is about.
const namespaceHeader = "containerd-namespace"

// maxNamespaces is how many namespaces are looked at.
const maxNamespaces = 64

// Client is a connection to one containerd.
type Client struct {
	conn       *grpc.ClientConn
	containers containers.ContainersClient
	images     images.ImagesClient
	namespaces namespaces.NamespacesClient
	events     events.EventsClient
}

// Open connects to the containerd behind the socket and returns once it has answered.
func Open(ctx context.Context, socket string) (*Client, error) {
	conn, err := unixgrpc.Dial(socket)
	if err != nil {
		return nil, err
	}
	c := &Client{
		conn:       conn,
		containers: containers.NewContainersClient(conn),
		images:     images.NewImagesClient(conn),
		namespaces: namespaces.NewNamespacesClient(conn),
		events:     events.NewEventsClient(conn),
	}
	if _, err := c.names(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return c, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

func (c *Client) names(ctx context.Context) ([]string, error) {
	answer, err := c.namespaces.List(ctx, &namespaces.ListNamespacesRequest{})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, n := range answer.GetNamespaces() {
		if len(names) < maxNamespaces {
			names = append(names, n.GetName())
		}
	}
	return names, nil
}

// foreign says that the containers of a namespace are better asked for elsewhere: Kubernetes'
// through the CRI, Docker's through Docker.
func foreign(namespace string) bool { return namespace == "k8s.io" || namespace == "moby" }

func within(ctx context.Context, namespace string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, namespaceHeader, namespace)
}

// List returns the ids of all containers, but for those of Kubernetes and Docker.
func (c *Client) List(ctx context.Context) ([]string, error) {
	names, err := c.names(ctx)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, name := range names {
		if foreign(name) {
			continue
		}
		answer, err := c.containers.List(within(ctx, name), &containers.ListContainersRequest{})
		if err != nil {
			return nil, fmt.Errorf("namespace %q: %w", name, err)
		}
		for _, x := range answer.GetContainers() {
			ids = append(ids, x.GetID())
		}
	}
	return ids, nil
}

// Watch calls changed whenever a container is made or removed, until ctx or the connection
// ends. It never returns nil.
func (c *Client) Watch(ctx context.Context, changed func(container.Change)) error {
	stream, err := c.events.Subscribe(ctx, &events.SubscribeRequest{Filters: []string{
		`topic=="/containers/create"`, `topic=="/containers/delete"`,
	}})
	for err == nil {
		var e *types.Envelope
		if e, err = stream.Recv(); err != nil {
			break
		}
		if foreign(e.GetNamespace()) {
			continue
		}
		if change, ok := read(e.GetTopic(), e.GetEvent().GetValue()); ok {
			changed(change)
		}
	}
	return fmt.Errorf("read events: %w", err)
}

// Inspect returns what is known of the container with the given whole id, of the first
// namespace that has it. The error is container.ErrUnknown when there is none.
func (c *Client) Inspect(ctx context.Context, id string) (*container.Info, error) {
	names, err := c.names(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		ctx := within(ctx, name)
		answer, err := c.containers.Get(ctx, &containers.GetContainerRequest{ID: id})
		if code := status.Code(err); code == codes.NotFound || code == codes.InvalidArgument {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("namespace %q: %w", name, err)
		}
		info := describe(answer.GetContainer())
		// The image may have been removed since.
		if image, err := c.images.Get(ctx, &images.GetImageRequest{Name: info.Image}); err == nil {
			info.ImageDigest = image.GetImage().GetTarget().GetDigest()
		}
		return info, nil
	}
	return nil, container.ErrUnknown
}
