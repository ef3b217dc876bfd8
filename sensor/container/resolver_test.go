package container_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/saker-security/saker/sensor/container"
)

func TestAResolverAsksOnlyWhereSomebodyAnswers(t *testing.T) {
	docker := container.ID{Full: id1, Engine: container.Docker}
	r := container.NewResolver(0)
	if got := r.Want(docker); got != container.NobodyToAsk {
		t.Errorf("before anybody serves it is %v", got)
	}
	wanted := r.Serve(nil)
	for id, want := range map[container.ID]container.Asked{
		{}: container.Known, {Full: "web", Engine: container.LXC}: container.NobodyToAsk, docker: container.Pending,
	} {
		if got := r.Want(id); got != want {
			t.Errorf("%v: %v, want %v", id, got, want)
		}
	}
	if got := <-wanted; got != docker {
		t.Errorf("asked for is %v", got)
	}
	r.Close()
	if got := r.Want(docker); got != container.NobodyToAsk {
		t.Errorf("after nobody serves any more it is %v", got)
	}
	var none *container.Resolver
	if got := none.Want(docker); got != container.NobodyToAsk {
		t.Errorf("without a resolver it is %v", got)
	}
}

func TestAResolverTellsOnceThatAnAnswerHasCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := container.ID{Full: id1, Engine: container.CRI}, container.ID{Full: id2, Engine: container.CRI}
		r := container.NewResolver(0)
		var told []container.ID
		r.Serve(func(id container.ID) { told = append(told, id) })
		r.Store(&container.Info{ID: b}) // nobody has asked
		r.Want(a)
		r.Fail(a)
		r.Fail(a)
		if got := r.Want(a); got != container.Refused {
			t.Errorf("what just failed is %v", got)
		}
		r.Store(&container.Info{ID: a})
		r.Forget(a.Full)
		if got := r.Want(a); got != container.Pending {
			t.Errorf("what was known since is %v", got)
		}
		r.Store(&container.Info{ID: a})
		if len(told) != 2 {
			t.Errorf("told of %v", told)
		}
		r.Fail(container.ID{Full: "x", Engine: container.CRI})
		time.Sleep(time.Minute)
		if got := r.Want(container.ID{Full: "x", Engine: container.CRI}); got != container.Pending {
			t.Errorf("what failed a minute ago is %v", got)
		}
	})
}

func TestWhatIsKnownHasABoundInBytes(t *testing.T) {
	r := container.NewResolver(0)
	labels := make(map[string]string)
	for i := range container.MaxLabels {
		labels[fmt.Sprint("label", i)] = strings.Repeat("x", 100)
	}
	store := func(i int) {
		info := container.Info{ID: container.ID{Full: fmt.Sprint(i), Engine: container.CRI}, Labels: labels, PodLabels: labels}
		r.Store(info.Limited(100))
	}
	for i := range 2000 {
		store(i % 1500)
		store(i % 1500)
	}
	if r.Bytes() > container.MaxBytes || r.Bytes() < container.MaxBytes/2 || r.Len() == 0 {
		t.Errorf("%d containers take %d bytes", r.Len(), r.Bytes())
	}
	for i := range 1500 {
		r.Forget(fmt.Sprint(i))
	}
	if r.Bytes() != 0 {
		t.Errorf("%d containers take %d bytes", r.Len(), r.Bytes())
	}
}

func TestOneContainerCannotSayTooMuch(t *testing.T) {
	long := strings.Repeat("x", container.MaxText+1)
	info := container.Info{
		ID: container.ID{Full: "a", Engine: container.CRI}, Name: long, CNI: long, Labels: map[string]string{
			"keep": strings.Repeat("x", 100), "drop": strings.Repeat("x", 101), long: "v", container.LabelPodName: strings.Repeat("p", 200),
		},
	}
	for i := range 2 * container.MaxMounts {
		info.Mounts = append(info.Mounts, container.Mount{Source: fmt.Sprint(i)})
	}
	many := make(map[string]string)
	for i := range 2 * container.MaxLabels {
		many[fmt.Sprintf("%04d", i)] = ""
	}
	info.PodLabels = many
	got := info.Limited(100)
	if len(got.Name) != container.MaxText || len(got.CNI) != container.MaxText || len(got.Mounts) != container.MaxMounts || len(got.PodLabels) != container.MaxLabels {
		t.Errorf("name %d, CNI %d, mounts %d, labels %d", len(got.Name), len(got.CNI), len(got.Mounts), len(got.PodLabels))
	}
	if diff := cmp.Diff(map[string]string{"keep": strings.Repeat("x", 100), container.LabelPodName: strings.Repeat("p", 200)}, got.Labels); diff != "" {
		t.Errorf("labels: %s", diff)
	}
	if len(info.Labels) != 4 {
		t.Error("the original has changed")
	}
}

func TestRepository(t *testing.T) {
	for image, want := range map[string][2]string{
		"registry.example.com:5000/foo/bar:latest@sha256:1": {"registry.example.com:5000/foo/bar", "latest"},
		"registry.example.com:5000/foo/bar@sha256:1":        {"registry.example.com:5000/foo/bar", ""},
		"registry.example.com:5000/foo/bar":                 {"registry.example.com:5000/foo/bar", ""},
		"foo/bar:1":                                         {"foo/bar", "1"}, "foo:1": {"foo", "1"}, "foo": {"foo", ""}, "": {"", ""}, "a:b:c": {"a:b", "c"}, "x/": {"x/", ""},
	} {
		repository, tag := container.Repository(image)
		if got := [2]string{repository, tag}; got != want {
			t.Errorf("%q is %q, want %q", image, got, want)
		}
	}
}

func BenchmarkInfo(b *testing.B) {
	r := container.NewResolver(0)
	id := container.ID{Full: id1, Engine: container.CRI}
	r.Store(&container.Info{ID: id})
	b.ReportAllocs()
	for b.Loop() {
		if r.Info(id) == nil {
			b.Fatal("not known")
		}
	}
}
