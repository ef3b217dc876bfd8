package report

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/saker-security/saker/event"
)

func programSinkOf(command string, keep bool, timeout time.Duration) *programSink {
	return &programSink{Program: Program{Enabled: true, Command: command, KeepAlive: keep}, timeout: timeout}
}

func lines(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

func TestAProgramGetsOneLineAnAlert(t *testing.T) {
	for name, keep := range map[string]bool{"a program for each": false, "one that goes on": true} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "out")
			s := programSinkOf(`{ echo started; cat; } >> "`+path+`"`, keep, time.Minute)
			if err := s.Write(t.Context(), []event.Event{{Output: "first"}, {Output: "second\nline"}}); err != nil {
				t.Fatal(err)
			}
			if err := s.Reopen(); err != nil {
				t.Fatal(err)
			}
			if err := s.Write(t.Context(), []event.Event{{Output: "third"}}); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			want := "started first started second\\nline started third"
			if keep {
				want = "started first second\\nline started third"
			}
			if got := strings.Join(lines(t, path), " "); got != want {
				t.Errorf("the program got %s, want %s", got, want)
			}
		})
	}
}

func TestAProgramThatHangsIsEndedAndStartedAnew(t *testing.T) {
	// More than a pipe holds, so that the write waits.
	large := []event.Event{{Output: strings.Repeat("x", 1<<20)}}
	for name, keep := range map[string]bool{"a program for each": false, "one that goes on": true} {
		t.Run(name, func(t *testing.T) {
			marker := filepath.Join(t.TempDir(), "tried")
			// It hangs the first time, in a child of its own, and works from then on.
			s := programSinkOf(`if [ -e "`+marker+`" ]; then cat > /dev/null; else touch "`+marker+`"; sleep 1000 | sleep 1000; fi`, keep, 300*time.Millisecond)
			if err := s.Write(t.Context(), large); err == nil {
				t.Error("a program that hangs is no error")
			}
			s.timeout = time.Minute
			if err := s.Write(t.Context(), large); err != nil {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAProcessThatLeavesTheProgramsGroupHoldsUpNoWrite(t *testing.T) {
	large := []event.Event{{Output: strings.Repeat("x", 1<<20)}}
	s := programSinkOf(`setsid sleep 10 <&0 & wait`, true, 300*time.Millisecond)
	// Without <&0 the shell would give a process in the background no input.
	start := time.Now()
	if err := s.Write(t.Context(), large); err == nil {
		t.Error("a program that hangs is no error")
	}
	if took := time.Since(start); took > 8*time.Second {
		t.Errorf("the write ends with the process, after %v", took)
	}
}

func TestAProgramThatFailsIsAnError(t *testing.T) {
	s := programSinkOf("exit 3", false, time.Minute)
	if err := s.Write(t.Context(), []event.Event{{Output: "x"}}); err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("the error is %v", err)
	}
}
