package process

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sys/unix"

	"github.com/saker-security/saker/sensor/container"
)

// Unnamed is the name of a user or group that has none.
const Unnamed = "<NA>"

// User is an account as /etc/passwd has it.
type User struct {
	Name, Home, Shell string
}

// Limits of what is read and kept of accounts.
const (
	hostFileLimit      = 1 << 20  // bytes of the host's passwd or group file
	containerFileLimit = 64 << 10 // bytes of a container's
	accountLimit       = 16384    // entries of one
	containerLimit     = 256      // containers whose accounts are kept
	fetchLimit         = 4        // reads of a container's files at once
)

const (
	// recheckAfter is how old what is known may be before the files are looked at again.
	recheckAfter = time.Second
	// patience is how long a lookup waits for a container's files, whose file system may
	// be anything.
	patience = 100 * time.Millisecond
)

// UsersOptions configure Users. The zero value is a good one.
type UsersOptions struct {
	// Root is where the host's root folder is. Default /.
	Root string
	// Proc is where proc is mounted. Default /proc.
	Proc string
	// Now tells the time. Default time.Now.
	Now func() time.Time
}

// Users names users and groups: those of the host by the host's /etc/passwd and /etc/group,
// those of a container's processes by the container's. Files are read again when they
// change; no other name service is asked, as that could block and would need C.
//
// User and Group must be called from one goroutine.
type Users struct {
	opt        UsersOptions
	host       *accounts
	containers *lru.Cache[container.ID, *accounts]
	fetching   chan struct{}
}

// accounts are the users and groups of the host or a container.
type accounts struct {
	mu      sync.Mutex // guards all below against a fetch that outlived its lookup
	users   map[uint32]User
	groups  map[uint32]string
	passwd  stamp
	group   stamp
	checked time.Time
	busy    bool
}

// stamp tells whether a file is still the one that was read.
type stamp struct {
	inode        uint64
	size         int64
	mtime, ctime unix.Timespec
}

// NewUsers returns an empty Users. Files are read when they are first needed.
func NewUsers(opt UsersOptions) *Users {
	if opt.Root == "" {
		opt.Root = "/"
	}
	if opt.Proc == "" {
		opt.Proc = "/proc"
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	containers, err := lru.New[container.ID, *accounts](containerLimit)
	if err != nil {
		panic(err) // only a limit that is not positive is refused
	}
	return &Users{
		opt: opt, host: &accounts{}, containers: containers,
		fetching: make(chan struct{}, fetchLimit),
	}
}

// User returns the account with the id uid as p sees it. Without one the name is Unnamed,
// and "root" for 0.
func (u *Users) User(p *Process, uid uint32) User {
	a := u.accounts(p)
	a.mu.Lock()
	user, ok := a.users[uid]
	a.mu.Unlock()
	switch {
	case ok:
		return user
	case uid == 0:
		return User{Name: "root", Home: "/root", Shell: Unnamed}
	default:
		return User{Unnamed, Unnamed, Unnamed}
	}
}

// Group returns the name of the group with the id gid as p sees it. Without one it is
// Unnamed, and "root" for 0.
func (u *Users) Group(p *Process, gid uint32) string {
	a := u.accounts(p)
	a.mu.Lock()
	name, ok := a.groups[gid]
	a.mu.Unlock()
	switch {
	case ok:
		return name
	case gid == 0:
		return "root"
	default:
		return Unnamed
	}
}

// accounts returns those that hold for p, brought up to date as far as that is quick.
func (u *Users) accounts(p *Process) *accounts {
	now := u.opt.Now()
	if p == nil || p.Container.Host() {
		if u.host.due(now) {
			u.host.load(u.opt.Root, hostFileLimit, now)
		}
		return u.host
	}
	a, ok := u.containers.Get(p.Container)
	if !ok {
		a = &accounts{}
		u.containers.Add(p.Container, a)
	}
	if a.due(now) {
		u.fetch(a, filepath.Join(u.opt.Proc, strconv.Itoa(int(p.PID)), "root"), now)
	}
	return a
}

// fetch loads in a goroutine and waits for it for a moment: a container may have put its
// root on a file system that never answers. What comes later is used later; no more than
// fetchLimit such reads hang at any time.
func (u *Users) fetch(a *accounts, root string, now time.Time) {
	select {
	case u.fetching <- struct{}{}:
	default:
		a.leave()
		return
	}
	done := make(chan struct{})
	go func() {
		defer func() { <-u.fetching }()
		defer close(done)
		a.load(root, containerFileLimit, now)
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

// due says whether the files ought to be looked at, and makes that the caller's task.
func (a *accounts) due(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.busy || (!a.checked.IsZero() && now.Sub(a.checked) < recheckAfter) {
		return false
	}
	a.busy = true
	return true
}

// leave gives the task back undone.
func (a *accounts) leave() {
	a.mu.Lock()
	a.busy = false
	a.mu.Unlock()
}

// load reads what has changed below root, at most limit bytes of a file. What cannot be read
// keeps its last state, as the process that root belongs to may be gone.
func (a *accounts) load(root string, limit int64, now time.Time) {
	a.mu.Lock()
	passwd, group := a.passwd, a.group
	a.mu.Unlock()
	rawPasswd, passwd, newPasswd := readBelow(root, "etc/passwd", limit, passwd)
	rawGroup, group, newGroup := readBelow(root, "etc/group", limit, group)

	a.mu.Lock()
	defer a.mu.Unlock()
	if newPasswd {
		a.users, a.passwd = parsePasswd(rawPasswd), passwd
	}
	if newGroup {
		a.groups, a.group = parseGroup(rawGroup), group
	}
	a.checked, a.busy = now, false
}

// readBelow reads the file name below root if it is not the one that last tells of. Links in
// it are followed as a process with that root would, so that a container cannot point out of
// itself, and what is not a regular file is not read.
func readBelow(root, name string, limit int64, last stamp) ([]byte, stamp, bool) {
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, last, false
	}
	defer unix.Close(dir)
	fd, err := unix.Openat2(dir, name, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, last, false
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, last, false
	}
	now := stamp{st.Ino, st.Size, st.Mtim, st.Ctim}
	if now == last {
		return nil, last, false
	}
	b, err := io.ReadAll(io.LimitReader(f, limit))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, last, false
	}
	return b, now, true
}

// parsePasswd reads name:password:uid:gid:comment:home:shell lines; of two with one id the
// first counts, as for getpwuid.
func parsePasswd(b []byte) map[uint32]User {
	users := make(map[uint32]User)
	for f := range accountLines(b) {
		if len(users) >= accountLimit {
			break
		}
		uid, err := strconv.ParseUint(at(f, 2), 10, 32)
		if err != nil || f[0] == "" {
			continue
		}
		if _, ok := users[uint32(uid)]; !ok {
			users[uint32(uid)] = User{
				Name: strings.Clone(f[0]), Home: strings.Clone(at(f, 5)), Shell: strings.Clone(at(f, 6)),
			}
		}
	}
	return users
}

// parseGroup reads name:password:gid:members lines.
func parseGroup(b []byte) map[uint32]string {
	groups := make(map[uint32]string)
	for f := range accountLines(b) {
		if len(groups) >= accountLimit {
			break
		}
		gid, err := strconv.ParseUint(at(f, 2), 10, 32)
		if err != nil || f[0] == "" {
			continue
		}
		if _, ok := groups[uint32(gid)]; !ok {
			groups[uint32(gid)] = strings.Clone(f[0])
		}
	}
	return groups
}

func accountLines(b []byte) func(yield func([]string) bool) {
	return func(yield func([]string) bool) {
		for line := range bytes.Lines(b) {
			text := strings.TrimRight(string(line), "\r\n")
			if text == "" || text[0] == '#' {
				continue
			}
			if !yield(strings.Split(text, ":")) {
				return
			}
		}
	}
}

func at(f []string, i int) string {
	if i < len(f) {
		return f[i]
	}
	return ""
}
