package process

import (
	"os"
	"testing"

	"github.com/saker-security/saker/sensor/probe"
)

func TestWhatAProcessUsesIsReadFromProc(t *testing.T) {
	table := NewTable(Options{})
	p := table.Apply(&probe.Record{Kind: probe.KindOpen, PID: int32(os.Getpid()), TID: int32(os.Getpid()), Time: 1})
	if u, ok := table.Usage(p); !ok || u.Threads == 0 || u.VMSize < u.VMRSS || u.VMRSS == 0 {
		t.Errorf("usage %+v, %v", u, ok)
	}
	if n, ok := table.DescriptorLimit(p); !ok || n == 0 {
		t.Errorf("limit of descriptors %d, %v", n, ok)
	}
	before, ok := table.DescriptorCount(p)
	if !ok || before < 3 {
		t.Errorf("%d descriptors, %v", before, ok)
	}
	if _, minor, ok := table.PageFaults(p, int32(os.Getpid())); !ok || minor == 0 {
		t.Errorf("%d page faults, %v", minor, ok)
	}
}

func TestAProcessThatIsGoneUsesNothing(t *testing.T) {
	table := NewTable(Options{Proc: t.TempDir()})
	p := table.Apply(&probe.Record{Kind: probe.KindOpen, PID: 9, TID: 9, Time: 1})
	_, usage := table.Usage(p)
	_, limit := table.DescriptorLimit(p)
	_, count := table.DescriptorCount(p)
	_, _, faults := table.PageFaults(p, 9)
	if usage || limit || count || faults {
		t.Error("a process without a folder in /proc has a value")
	}
}

func TestFilesOfUsageAreParsed(t *testing.T) {
	u := parseUsage([]byte("Name:\tVmSize: 5\nVmSize:\t  12 kB\nVmRSS:\t8 kB\nThreads:\t3\nVmSwap:\n"))
	if (u != Usage{Threads: 3, VMSize: 12, VMRSS: 8}) {
		t.Errorf("%+v", u)
	}
	for text, want := range map[string]int64{
		"Limit Soft Hard\nMax open files            1024                 524288               files\n": 1024,
		"Max open files            unlimited            unlimited            files\n":                  -1,
	} {
		if n, ok := parseDescriptorLimit([]byte(text)); !ok || n != want {
			t.Errorf("%q: %d, %v", text, n, ok)
		}
	}
	for _, text := range []string{"", "Max open files", "Max open files x"} {
		if n, ok := parseDescriptorLimit([]byte(text)); ok {
			t.Errorf("%q: %d", text, n)
		}
	}
	major, minor, ok := parseFaults([]byte("7 (a) b) S 1 2 3 4 5 6 70 8 90 10"))
	if !ok || minor != 70 || major != 90 {
		t.Errorf("%d %d %v", major, minor, ok)
	}
	if _, _, ok := parseFaults([]byte("7 (a) S 1")); ok {
		t.Error("a stat that is cut off has page faults")
	}
}
