package runtimes_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/saker-security/saker/sensor/container"
	"github.com/saker-security/saker/sensor/container/cri"
)

// crio answers as CRI-O does. One container in one pod is all it has.
type crio struct {
	runtime.UnimplementedRuntimeServiceServer
	status  *runtime.ContainerStatusResponse
	pod     *runtime.PodSandboxStatusResponse
	events  chan *runtime.ContainerEventResponse
	refused error
}

const (
	crioID      = "a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f90"
	crioSandbox = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0"
	crioImageID = "9f2c7a6b5d4e3f2a1b0c9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a3b2c1d0e9f8a"
	crioDigest  = "sha256:d977378f890d445c15e51795296e4e5062f109ce6da83e0a355fc4ad8699d27a"
)

func startCRIO(t *testing.T) (*crio, *cri.Client) {
	t.Helper()
	s := &crio{
		status: &runtime.ContainerStatusResponse{
			Status: &runtime.ContainerStatus{
				Id: crioID, Metadata: &runtime.ContainerMetadata{Name: "web"},
				Image: &runtime.ImageSpec{Image: "quay.io/shop/web:1.4"}, ImageRef: "quay.io/shop/web@" + crioDigest, ImageId: crioImageID,
				Labels: map[string]string{"io.kubernetes.container.name": "web"},
				Mounts: []*runtime.Mount{
					{HostPath: "/", ContainerPath: "/host", Propagation: runtime.MountPropagation_PROPAGATION_BIDIRECTIONAL},
				},
			},
			Info: map[string]string{"info": `{"sandboxID":"` + crioSandbox + `","pid":4711,"privileged":true,` +
				`"runtimeSpec":{"annotations":{"io.kubernetes.cri-o.ImageName":"quay.io/shop/web:1.4"},"linux":{"resources":{}}}}`},
		},
		pod: &runtime.PodSandboxStatusResponse{
			Status: &runtime.PodSandboxStatus{
				Id: crioSandbox, Metadata: &runtime.PodSandboxMetadata{Name: "web-7d9", Namespace: "shop", Uid: "u-1"},
				Network: &runtime.PodSandboxNetworkStatus{Ip: "10.85.0.7"},
				Linux: &runtime.LinuxPodSandboxStatus{Namespaces: &runtime.Namespace{Options: &runtime.NamespaceOption{
					Network: runtime.NamespaceMode_POD, Pid: runtime.NamespaceMode_CONTAINER, Ipc: runtime.NamespaceMode_NODE,
				}}},
				Labels: map[string]string{"app": "web"},
			},
			Info: map[string]string{"info": `{"runtimeSpec":{"annotations":{"io.kubernetes.cri-o.CNIResult":"{\"cniVersion\":\"1.0.0\"}"}}}`},
		},
		events: make(chan *runtime.ContainerEventResponse),
	}
	socket := filepath.Join(short(t), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	runtime.RegisterRuntimeServiceServer(server, s)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	c, err := cri.Open(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return s, c
}

func (s *crio) Version(context.Context, *runtime.VersionRequest) (*runtime.VersionResponse, error) {
	return &runtime.VersionResponse{RuntimeName: "cri-o", RuntimeVersion: "1.34.0"}, nil
}

func (s *crio) ListContainers(_ context.Context, r *runtime.ListContainersRequest) (*runtime.ListContainersResponse, error) {
	answer := &runtime.ListContainersResponse{}
	if strings.HasPrefix(crioID, r.GetFilter().GetId()) {
		answer.Containers = append(answer.Containers, &runtime.Container{Id: crioID, PodSandboxId: crioSandbox})
	}
	return answer, nil
}

func (s *crio) ListPodSandbox(context.Context, *runtime.ListPodSandboxRequest) (*runtime.ListPodSandboxResponse, error) {
	return &runtime.ListPodSandboxResponse{Items: []*runtime.PodSandbox{{Id: crioSandbox}}}, nil
}

func (s *crio) ContainerStatus(context.Context, *runtime.ContainerStatusRequest) (*runtime.ContainerStatusResponse, error) {
	return s.status, nil
}

func (s *crio) PodSandboxStatus(_ context.Context, r *runtime.PodSandboxStatusRequest) (*runtime.PodSandboxStatusResponse, error) {
	if r.GetPodSandboxId() == "" || !strings.HasPrefix(crioSandbox, r.GetPodSandboxId()) {
		return nil, status.Error(codes.NotFound, "could not find pod")
	}
	return s.pod, nil
}

func (s *crio) GetContainerEvents(_ *runtime.GetEventsRequest, stream grpc.ServerStreamingServer[runtime.ContainerEventResponse]) error {
	if s.refused != nil {
		return s.refused
	}
	for e := range s.events {
		if err := stream.Send(e); err != nil {
			return err
		}
	}
	return status.Error(codes.Unavailable, "shutting down")
}

func TestCRIOTellsOfPods(t *testing.T) {
	_, c := startCRIO(t)
	inspected(t, c, &container.Info{
		ID: container.ID{Full: crioID, Engine: container.CRIO}, Name: "web",
		Image: "quay.io/shop/web:1.4", ImageRepository: "quay.io/shop/web", ImageTag: "1.4", ImageDigest: crioDigest, ImageID: crioImageID,
		Privileged: new(true), HostPID: new(false), HostNetwork: new(false), HostIPC: new(true),
		Labels: map[string]string{
			"io.kubernetes.container.name": "web", "io.kubernetes.pod.name": "web-7d9", "io.kubernetes.pod.namespace": "shop",
			"io.kubernetes.pod.uid": "u-1", "io.kubernetes.sandbox.id": crioSandbox,
		},
		PodLabels: map[string]string{"app": "web"},
		PodName:   "web-7d9", PodNamespace: "shop", PodUID: "u-1", PodSandboxID: crioSandbox,
		IP: "10.85.0.7", PodIP: "10.85.0.7", CNI: `{"cniVersion":"1.0.0"}`,
		Mounts: []container.Mount{{Source: "/", Dest: "/host", Writable: true, Propagation: "rshared"}},
	})
	listed(t, c, crioID, crioSandbox)
	if info := inspect(t, c, crioSandbox); info.PodName != "web-7d9" || info.Image != "" || info.ID.Engine != container.CRIO {
		t.Errorf("the sandbox is %+v", info)
	}
}

func TestAnImageIsNamedAsItWasAskedFor(t *testing.T) {
	s, c := startCRIO(t)
	const none = "sha256:" + crioImageID
	for _, tt := range []struct {
		name, asked, ref, info string
		want                   [4]string // image, repository, tag, digest
	}{
		{"by tag", "quay.io/a/b:1", "quay.io/a/b@" + crioDigest, "", [4]string{"quay.io/a/b:1", "quay.io/a/b", "1", crioDigest}},
		{"by digest", "quay.io/a/b@" + crioDigest, "quay.io/a/b@" + crioDigest, "", [4]string{"quay.io/a/b", "quay.io/a/b", "", crioDigest}},
		{"with a registry's port", "r:5000/b", "r:5000/b@" + crioDigest, "", [4]string{"r:5000/b", "r:5000/b", "", crioDigest}},
		{"built here", "localhost/b:2", none, "", [4]string{"localhost/b:2", "localhost/b", "2", none}},
		{
			"by its id, containerd", none, none, `{"runtimeSpec":{"annotations":{"io.kubernetes.cri.image-name":"docker.io/library/nginx:1.27"}}}`,
			[4]string{"docker.io/library/nginx:1.27", "docker.io/library/nginx", "1.27", none},
		},
		{
			"by its id, CRI-O", none, none, `{"runtimeSpec":{"annotations":{"io.kubernetes.cri-o.ImageName":"quay.io/a/b:3"}}}`,
			[4]string{"quay.io/a/b:3", "quay.io/a/b", "3", none},
		},
		{"unknown", "", "", "not JSON", [4]string{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s.status.Status.Image = &runtime.ImageSpec{Image: tt.asked}
			s.status.Status.ImageRef, s.status.Info = tt.ref, map[string]string{"info": tt.info}
			info := inspect(t, c, crioID)
			if diff := cmp.Diff(tt.want, [4]string{info.Image, info.ImageRepository, info.ImageTag, info.ImageDigest}); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestACRIRuntimeMayReportEvents(t *testing.T) {
	t.Run("and does", func(t *testing.T) {
		s, c := startCRIO(t)
		changes := make(chan container.Change, 3)
		ended := make(chan error, 1)
		go func() { ended <- c.Watch(t.Context(), func(c container.Change) { changes <- c }) }()
		for _, kind := range []runtime.ContainerEventType{
			runtime.ContainerEventType_CONTAINER_CREATED_EVENT, runtime.ContainerEventType_CONTAINER_STOPPED_EVENT,
			runtime.ContainerEventType_CONTAINER_DELETED_EVENT,
		} {
			s.events <- &runtime.ContainerEventResponse{ContainerId: crioID, ContainerEventType: kind}
		}
		close(s.events)
		if err := <-ended; err == nil || errors.Is(err, container.ErrNoEvents) {
			t.Errorf("the end of the connection is %v", err)
		}
		close(changes)
		var got []container.Change
		for c := range changes {
			got = append(got, c)
		}
		if diff := cmp.Diff([]container.Change{{ID: crioID}, {ID: crioID, Removed: true}}, got); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("or refuses to", func(t *testing.T) {
		s, c := startCRIO(t)
		s.refused = errors.New("evented pod lifecycle is disabled")
		if err := c.Watch(t.Context(), func(container.Change) {}); !errors.Is(err, container.ErrNoEvents) {
			t.Errorf("refusing is %v", err)
		}
	})
}
