package process_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/saker-security/saker/sensor/container"
	"github.com/saker-security/saker/sensor/process"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// usersOf has a host and proc in folders of the test's own, and a clock that it sets.
func usersOf(t *testing.T) (u *process.Users, host, procDir string, now *time.Time) {
	t.Helper()
	host, procDir = t.TempDir(), t.TempDir()
	clock := time.Unix(1_700_000_000, 0)
	u = process.NewUsers(process.UsersOptions{
		Root: host, Proc: procDir, Now: func() time.Time { return clock },
	})
	return u, host, procDir, &clock
}

func accounts(t *testing.T, root, passwd, group string) {
	t.Helper()
	dir := filepath.Join(root, "etc")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"passwd": passwd, "group": group} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func inContainer(pid int32, id string) *process.Process {
	return &process.Process{PID: pid, Container: container.ID{Full: id, Engine: container.LXC}}
}

func TestUsersOfTheHost(t *testing.T) {
	u, host, _, _ := usersOf(t)
	accounts(t, host, "root:x:0:0::/root:/bin/bash\nweb:x:33:33::/srv:/bin/sh\n", "staff:x:50:\n")
	p := &process.Process{PID: 1}
	check(t, "user", u.User(p, 33), process.User{Name: "web", Home: "/srv", Shell: "/bin/sh"})
	check(t, "user without account", u.User(p, 99).Name, "<NA>")
	check(t, "group", u.Group(p, 50), "staff")
	check(t, "group without account", u.Group(p, 51), "<NA>")
	check(t, "group 0 without account", u.Group(p, 0), "root")
}

func TestUserZeroIsRootWithoutAnyFile(t *testing.T) {
	u, _, _, _ := usersOf(t)
	check(t, "user", u.User(nil, 0).Name, "root")
	check(t, "another", u.User(nil, 1).Name, "<NA>")
}

func TestChangedFilesAreReadAgain(t *testing.T) {
	u, host, _, now := usersOf(t)
	accounts(t, host, "old:x:5:5:::\n", "")
	check(t, "at first", u.User(nil, 5).Name, "old")
	accounts(t, host, "another:x:5:5:::\n", "")
	check(t, "at once", u.User(nil, 5).Name, "old")
	*now = now.Add(2 * time.Second)
	check(t, "later", u.User(nil, 5).Name, "another")
}

func TestUsersOfAContainer(t *testing.T) {
	u, host, procDir, now := usersOf(t)
	accounts(t, host, "hostuser:x:5:5:::\n", "hostgroup:x:5:\n")
	accounts(t, filepath.Join(procDir, "40", "root"), "inside:x:5:5::/home:\n", "insiders:x:5:\n")
	accounts(t, filepath.Join(procDir, "50", "root"), "elsewhere:x:5:5:::\n", "")
	check(t, "user", u.User(inContainer(40, "web"), 5).Name, "inside")
	check(t, "group", u.Group(inContainer(40, "web"), 5), "insiders")
	check(t, "user of another container", u.User(inContainer(50, "db"), 5).Name, "elsewhere")
	check(t, "user of the host", u.User(&process.Process{}, 5).Name, "hostuser")

	*now = now.Add(time.Minute)
	check(t, "by a process that is gone", u.User(inContainer(41, "web"), 5).Name, "inside")
	check(t, "of a container that was never read", u.User(inContainer(42, "new"), 5).Name, "<NA>")
}

func TestAContainerCannotPointOutOfItself(t *testing.T) {
	u, host, procDir, now := usersOf(t)
	accounts(t, host, "secret:x:5:5:::\n", "")
	root := filepath.Join(procDir, "40", "root")
	if err := os.MkdirAll(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(root, "etc", "passwd")
	for _, target := range []string{filepath.Join(host, "etc/passwd"), "../../../../../../../../" + host + "/etc/passwd"} {
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
		check(t, "through "+target, u.User(inContainer(40, "web"), 5).Name, "<NA>")
		if err := os.Remove(link); err != nil {
			t.Fatal(err)
		}
		*now = now.Add(time.Minute)
	}
}

func TestAFileThatIsNoFileIsNotRead(t *testing.T) {
	u, _, procDir, _ := usersOf(t)
	dir := filepath.Join(procDir, "40", "root", "etc")
	if err := os.MkdirAll(filepath.Join(dir, "group"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(dir, "passwd"), 0o644); err != nil {
		t.Fatal(err)
	}
	check(t, "user", u.User(inContainer(40, "web"), 5).Name, "<NA>")
	check(t, "group", u.Group(inContainer(40, "web"), 5), "<NA>")
}

func TestAHugeFileIsCut(t *testing.T) {
	u, host, _, _ := usersOf(t)
	accounts(t, host, "first:x:5:5:::\n"+strings.Repeat("#", 2<<20)+"\nlast:x:6:6:::\n", "")
	check(t, "first", u.User(nil, 5).Name, "first")
	check(t, "last", u.User(nil, 6).Name, "<NA>")
}

func TestManyContainersAreAnswered(t *testing.T) {
	u, _, procDir, _ := usersOf(t)
	for i := range 600 {
		pid := int32(i + 1)
		accounts(t, filepath.Join(procDir, fmt.Sprint(pid), "root"), fmt.Sprintf("u%d:x:5:5:::\n", i), "")
		check(t, "user", u.User(inContainer(pid, fmt.Sprint(i)), 5).Name, fmt.Sprintf("u%d", i))
	}
}

func BenchmarkUser(b *testing.B) {
	host := b.TempDir()
	if err := os.MkdirAll(filepath.Join(host, "etc"), 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(host, "etc/passwd"), []byte("web:x:33:33:::\n"), 0o644); err != nil {
		b.Fatal(err)
	}
	u := process.NewUsers(process.UsersOptions{Root: host})
	p := &process.Process{}
	b.ReportAllocs()
	for b.Loop() {
		if u.User(p, 33).Name != "web" {
			b.Fatal("not found")
		}
	}
}
