// Package cri asks runtimes about containers and pods through the Kubernetes Container
// Runtime Interface: containerd, CRI-O and others.
package cri

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/saker-security/saker/sensor/container"
	"github.com/saker-security/saker/sensor/container/unixgrpc"
)

// Client is a connection to one runtime.
type Client struct {
	conn   *grpc.ClientConn
	cri    runtime.RuntimeServiceClient
	engine container.Engine
}

// Open connects to the runtime behind the socket and returns once it has answered.
func Open(ctx context.Context, socket string) (*Client, error) {
	conn, err := unixgrpc.Dial(socket)
	if err != nil {
		return nil, err
	}
	c := &Client{conn: conn, cri: runtime.NewRuntimeServiceClient(conn), engine: container.CRI}
	v, err := c.cri.Version(ctx, &runtime.VersionRequest{})
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	switch v.GetRuntimeName() {
	case "containerd":
		c.engine = container.Containerd
	case "cri-o":
		c.engine = container.CRIO
	}
	return c, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// List returns the ids of all containers and pod sandboxes, also of those that do not run.
func (c *Client) List(ctx context.Context) ([]string, error) {
	containers, err := c.cri.ListContainers(ctx, &runtime.ListContainersRequest{})
	if err != nil {
		return nil, err
	}
	sandboxes, err := c.cri.ListPodSandbox(ctx, &runtime.ListPodSandboxRequest{})
	if err != nil {
		return nil, err
	}
	ids := make([]string, 0, len(containers.GetContainers())+len(sandboxes.GetItems()))
	for _, x := range containers.GetContainers() {
		ids = append(ids, x.GetId())
	}
	for _, x := range sandboxes.GetItems() {
		ids = append(ids, x.GetId())
	}
	return ids, nil
}

// Watch calls changed whenever a container is made, started or removed, until ctx or the
// connection ends. It never returns nil; the error is container.ErrNoEvents for a runtime
// that does not report events: containerd before 1.7, CRI-O unless it is told to.
func (c *Client) Watch(ctx context.Context, changed func(container.Change)) error {
	events, err := c.cri.GetContainerEvents(ctx, &runtime.GetEventsRequest{})
	for err == nil {
		var e *runtime.ContainerEventResponse
		if e, err = events.Recv(); err != nil {
			break
		}
		switch e.GetContainerEventType() {
		case runtime.ContainerEventType_CONTAINER_CREATED_EVENT, runtime.ContainerEventType_CONTAINER_STARTED_EVENT:
			changed(container.Change{ID: e.GetContainerId()})
		case runtime.ContainerEventType_CONTAINER_DELETED_EVENT:
			changed(container.Change{ID: e.GetContainerId(), Removed: true})
		}
	}
	// CRI-O refuses with no particular code.
	if code := status.Code(err); code == codes.Unimplemented || code == codes.Unknown && ctx.Err() == nil {
		return container.ErrNoEvents
	}
	return fmt.Errorf("read events: %w", err)
}

// Inspect returns what is known of the container or pod sandbox with the given whole id. The
// error is container.ErrUnknown when there is none.
func (c *Client) Inspect(ctx context.Context, id string) (*container.Info, error) {
	found, err := c.cri.ListContainers(ctx, &runtime.ListContainersRequest{Filter: &runtime.ContainerFilter{Id: id}})
	if err != nil {
		return nil, err
	}
	for _, x := range found.GetContainers() {
		if x.GetId() == id {
			return c.container(ctx, x)
		}
	}
	return c.sandbox(ctx, id)
}

func (c *Client) container(ctx context.Context, listed *runtime.Container) (*container.Info, error) {
	answer, err := c.cri.ContainerStatus(ctx, &runtime.ContainerStatusRequest{ContainerId: listed.GetId(), Verbose: true})
	if err != nil {
		return nil, unknown(err)
	}
	// Without its pod a container is still worth knowing.
	pod, err := c.cri.PodSandboxStatus(ctx, &runtime.PodSandboxStatusRequest{PodSandboxId: listed.GetPodSandboxId(), Verbose: true})
	if err != nil && ctx.Err() != nil {
		return nil, err
	}
	info := describe(answer, pod)
	info.ID = container.ID{Full: listed.GetId(), Engine: c.engine}
	return info, nil
}

// sandbox describes the container that holds a pod's namespaces. It has the pod's facts, and
// no image of its own that anybody would have asked for.
func (c *Client) sandbox(ctx context.Context, id string) (*container.Info, error) {
	pod, err := c.cri.PodSandboxStatus(ctx, &runtime.PodSandboxStatusRequest{PodSandboxId: id, Verbose: true})
	if err != nil {
		return nil, unknown(err)
	}
	if pod.GetStatus().GetId() != id {
		return nil, container.ErrUnknown // runtimes also find sandboxes by the beginning of an id
	}
	no := false
	info := &container.Info{ID: container.ID{Full: id, Engine: c.engine}, Privileged: &no, Labels: map[string]string{}}
	addPod(info, pod)
	return info, nil
}

func unknown(err error) error {
	if status.Code(err) == codes.NotFound {
		return container.ErrUnknown
	}
	return err
}
