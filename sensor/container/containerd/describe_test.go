package containerd

import (
	"testing"

	containers "github.com/containerd/containerd/api/services/containers/v1"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/saker-security/saker/sensor/container"
)

func TestAContainerWithoutASpecificationIsDescribedByWhatIsKnown(t *testing.T) {
	info := describe(&containers.Container{ID: "web", Image: "r:5000/a/b:1", Labels: map[string]string{"nerdctl/name": "shop"}})
	if info.Name != "shop" || info.ImageRepository != "r:5000/a/b" || info.ImageTag != "1" || info.Privileged != nil || info.HostPID != nil {
		t.Errorf("described as %+v", info)
	}
}

func FuzzDescribe(f *testing.F) {
	f.Add(`{"mounts":[{"destination":"/a","source":"/b","options":["ro","mode=755"]}],"linux":{"namespaces":[{"type":"pid"}],"seccomp":{}}}`)
	f.Add(`{"linux":null,"mounts":null}`)
	f.Add(`[]`)
	f.Fuzz(func(t *testing.T, spec string) {
		info := describe(&containers.Container{ID: "web", Spec: &anypb.Any{Value: []byte(spec)}}).Limited(container.DefaultLabelLength)
		if info.ID.Full != "web" || len(info.Mounts) > container.MaxMounts {
			t.Errorf("described as %+v", info)
		}
	})
}

func FuzzRead(f *testing.F) {
	f.Add("/containers/create", []byte("\n\x03web"))
	f.Add("/containers/delete", []byte("\n\x03web"))
	f.Add("/tasks/start", []byte{})
	f.Fuzz(func(t *testing.T, topic string, message []byte) {
		if c, ok := read(topic, message); !ok && c.Removed && topic != "/containers/delete" {
			t.Errorf("%q is %+v", topic, c)
		}
	})
}
