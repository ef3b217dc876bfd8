package report

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/saker-security/saker/event"
)

// programGrace is how long a program may go on once its input has ended.
const programGrace = 2 * time.Second

// A programSink gives one line an alert to a program of the user's on its standard input:
// to one that it starts for each alert or, with KeepAlive, to one that goes on running. The
// program is a command of the shell, as in Falco.
type programSink struct {
	Program
	format  Format
	timeout time.Duration
	running *program // nil unless one is kept
	buf     []byte
}

// program is one that runs.
type program struct {
	cmd   *exec.Cmd
	input io.WriteCloser
	stop  context.CancelFunc
}

// Write hands the alerts over. A program that does not take them in time is ended.
func (s *programSink) Write(ctx context.Context, alerts []event.Event) error {
	if s.KeepAlive {
		return s.writeOn(ctx, alerts)
	}
	for i := range alerts {
		s.buf = append(appendLine(s.buf[:0], &alerts[i], s.format), '\n')
		if err := s.once(ctx); err != nil {
			return err
		}
	}
	s.shrink()
	return nil
}

func (s *programSink) shrink() {
	if cap(s.buf) > keepBuffer {
		s.buf = nil
	}
}

// once runs the program for the line in buf.
func (s *programSink) once(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	cmd := command(ctx, s.Command)
	cmd.Stdin = bytes.NewReader(s.buf)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run program_output.program: %w", err)
	}
	return nil
}

// command is one of the shell in a process group of its own, so that all of a pipeline is
// ended.
func command(ctx context.Context, text string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", text)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = programGrace
	return cmd
}

// writeOn writes to the program that runs, which it starts if need be.
func (s *programSink) writeOn(ctx context.Context, alerts []event.Event) error {
	if s.running == nil {
		if err := s.start(ctx); err != nil {
			return err
		}
	}
	s.buf = appendLines(s.buf[:0], alerts, s.format)
	// A process that has left the program's group may still hold the other end of the pipe,
	// so that ending the program alone would not end the write.
	p := s.running
	giveUp := func() {
		p.stop()
		_ = p.input.Close()
	}
	slow := time.AfterFunc(s.timeout, giveUp)
	stop := context.AfterFunc(ctx, giveUp)
	_, err := p.input.Write(s.buf)
	slow.Stop()
	stop()
	s.shrink()
	if err != nil {
		_ = s.end(0) // the next write starts it anew
		return fmt.Errorf("write alerts to program_output.program: %w", err)
	}
	return nil
}

func (s *programSink) start(ctx context.Context) error {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	cmd := command(ctx, s.Command)
	input, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		stop()
		return fmt.Errorf("run program_output.program: %w", err)
	}
	s.running = &program{cmd: cmd, input: input, stop: stop}
	return nil
}

// end closes the program's input and ends it when it then goes on for longer than grace.
func (s *programSink) end(grace time.Duration) error {
	if s.running == nil {
		return nil
	}
	p := s.running
	s.running = nil
	closing := p.input.Close()
	slow := time.AfterFunc(grace, p.stop)
	err := p.cmd.Wait()
	slow.Stop()
	p.stop()
	if errors.Is(closing, os.ErrClosed) {
		closing = nil
	}
	if err = errors.Join(closing, err); err != nil {
		return fmt.Errorf("end program_output.program: %w", err)
	}
	return nil
}

// Reopen ends the program; the next alert starts it anew.
func (s *programSink) Reopen() error { return s.end(programGrace) }

// Close ends the program.
func (s *programSink) Close() error { return s.end(programGrace) }
