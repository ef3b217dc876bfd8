package exec

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

// maxOutput is how much of what the program writes is kept, in bytes.
const maxOutput = 4 << 10

// grace is how long output is waited for once the program has ended: a process that has
// left its group may hold the other end of the pipe.
const grace = time.Second

// What the program's exit status says of the event, after sysexits.h.
const (
	exitUsage     = 64
	exitMalformed = 65
	exitDenied    = 77
	exitConfig    = 78
	exitCannotRun = 126
	exitNotFound  = 127
)

// run runs the program at path with input. A thread of its own starts it, because what is
// given up for the program, the thread cannot take back, and waits for it, because the
// program is killed when that thread ends.
func (s *sender) run(ctx context.Context, path string, input []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		done <- s.runHere(ctx, path, input)
	}()
	return <-done
}

func (s *sender) runHere(ctx context.Context, path string, input []byte) error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return outputs.Hold(fmt.Errorf("give up privileges for the program: %w", err))
	}
	cmd := exec.CommandContext(ctx, path, s.Args...)
	cmd.Args[0] = s.Program
	cmd.Dir, cmd.Env = s.Dir, s.env
	said := &output{}
	cmd.Stdout, cmd.Stderr = said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: s.credential()}
	cmd.Cancel = func() error { return killGroup(cmd.Process.Pid) }
	cmd.WaitDelay = grace
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return s.startError(err)
	}
	// The limits come after the start and before the event: nothing that an attacker has a
	// say in happens without them.
	if err = s.limit(cmd.Process.Pid); err == nil {
		err = feed(ctx, stdin, input)
	}
	if err != nil {
		_ = killGroup(cmd.Process.Pid)
	}
	ended := wait(cmd)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("run the program: %w%s", ctx.Err(), s.quote(said))
	case err != nil:
		return fmt.Errorf("run the program: %w", err)
	}
	return s.classify(ended, said)
}

// feed writes the event to the program, which need not read it.
func feed(ctx context.Context, stdin io.WriteCloser, input []byte) error {
	stop := context.AfterFunc(ctx, func() { stdin.Close() })
	defer stop()
	_, err := stdin.Write(input)
	if closing := stdin.Close(); err == nil && ctx.Err() == nil {
		err = closing
	}
	if errors.Is(err, syscall.EPIPE) || ctx.Err() != nil {
		return nil // how it ended says more
	}
	return err
}

// wait waits for the program, and then ends what it has left running.
func wait(cmd *exec.Cmd) error {
	pid := cmd.Process.Pid
	var info unix.Siginfo
	// The program's number is taken until it is reaped, so that the group killed is its own.
	for {
		err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	_ = killGroup(pid)
	return cmd.Wait()
}

func killGroup(pid int) error { return syscall.Kill(-pid, syscall.SIGKILL) }

// credential is who the program runs as; nil for who we are.
func (s *sender) credential() *syscall.Credential {
	if s.UID < 0 && s.GID < 0 {
		return nil
	}
	uid, gid := s.UID, s.GID
	if uid < 0 {
		uid = syscall.Geteuid()
	}
	if gid < 0 {
		gid = uid
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)} //nolint:gosec // checked by Validate
}

// limit gives the process pid its limits. The kernel lets only a thread with the real user
// and group of that process, or with CAP_SYS_RESOURCE, do so. The thread takes its own back
// at once, for while it has the program's, the program could send it a signal.
func (s *sender) limit(pid int) error {
	c := s.credential()
	if c == nil {
		return s.Limits.set(pid)
	}
	uid, gid := uint32(syscall.Getuid()), uint32(syscall.Getgid()) //nolint:gosec // the kernel has 32 bits of them
	err := setReal(c.Uid, c.Gid)
	if err == nil {
		err = s.Limits.set(pid)
	}
	return errors.Join(err, setReal(uid, gid))
}

// setReal gives this thread, and no other, another real user and group beside its own
// effective ones.
func setReal(uid, gid uint32) error {
	const keep = ^uintptr(0)
	for _, call := range []struct {
		number uintptr
		id     uint32
	}{{unix.SYS_SETRESGID, gid}, {unix.SYS_SETRESUID, uid}} {
		// Not the functions of package syscall: they change all threads.
		if _, _, errno := unix.RawSyscall(call.number, uintptr(call.id), keep, keep); errno != 0 {
			return outputs.Hold(fmt.Errorf("limit the program's resources: %w", errno))
		}
	}
	return nil
}

// set gives the process pid its limits.
func (l Limits) set(pid int) error {
	for _, limit := range []struct {
		resource int
		value    uint64
		always   bool
	}{
		{unix.RLIMIT_CORE, 0, true},
		{unix.RLIMIT_CPU, uint64((l.CPU + time.Second - 1) / time.Second), false},
		{unix.RLIMIT_DATA, uint64(l.Memory), false},     //nolint:gosec // checked by Validate
		{unix.RLIMIT_FSIZE, uint64(l.FileSize), false},  //nolint:gosec // checked by Validate
		{unix.RLIMIT_NOFILE, uint64(l.Files), false},    //nolint:gosec // checked by Validate
		{unix.RLIMIT_NPROC, uint64(l.Processes), false}, //nolint:gosec // checked by Validate
	} {
		if limit.value == 0 && !limit.always {
			continue
		}
		if err := lower(pid, limit.resource, limit.value); err != nil && !errors.Is(err, unix.ESRCH) { // it has ended already
			return outputs.Hold(fmt.Errorf("limit the program's resources: %w", err))
		}
	}
	return nil
}

// lower sets a limit, unless there is a stricter one already.
func lower(pid, resource int, value uint64) error {
	var now unix.Rlimit
	if err := unix.Prlimit(pid, resource, nil, &now); err != nil {
		return err
	}
	value = min(value, now.Max)
	return unix.Prlimit(pid, resource, &unix.Rlimit{Cur: value, Max: value}, nil)
}

// startError classes why the program could not be started: but for a lack of resources,
// somebody has to mend it.
func (s *sender) startError(err error) error {
	err = fmt.Errorf("start the program: %w", err)
	for _, mend := range []error{fs.ErrNotExist, fs.ErrPermission, syscall.ENOEXEC, syscall.ENOTDIR, syscall.EINVAL} {
		if errors.Is(err, mend) {
			return outputs.Hold(err)
		}
	}
	return err
}

// classify says what the program's end means for the event.
func (s *sender) classify(err error, said *output) error {
	if err == nil || errors.Is(err, exec.ErrWaitDelay) {
		return nil
	}
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return fmt.Errorf("run the program: %w", err)
	}
	err = fmt.Errorf("the program ended with %s%s", exit.ProcessState, s.quote(said))
	switch exit.ExitCode() {
	case exitMalformed:
		return outputs.Reject(err)
	case exitUsage, exitDenied, exitConfig, exitCannotRun, exitNotFound:
		return outputs.Hold(err)
	}
	return err
}

// quote is the start of what the program said, for an error. The values of its environment
// are not repeated.
func (s *sender) quote(said *output) string {
	text := said.String()
	for _, v := range s.Env {
		if secret := v.Reveal(); len(secret) > 3 {
			text = strings.ReplaceAll(text, secret, "[hidden]")
		}
	}
	if text = httpx.OneLine(text); text == "" {
		return ""
	}
	return ": " + text
}

// output keeps the start of what the program writes. A process that has left its group may
// write to it while it is read.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write takes everything.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(p[:min(len(p), maxOutput-o.text.Len())])
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
