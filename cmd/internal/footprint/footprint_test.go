package footprint

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// fromFiles is how much of the process's memory are pages of files, in kB.
func fromFiles(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(line, "RssFile:"); found {
			n, err := strconv.Atoi(strings.Fields(value)[0])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("the kernel does not say")
	return 0
}

func TestWhatIsNotNeededLeavesTheMemory(t *testing.T) {
	before := fromFiles(t)
	if err := Shrink(); err != nil {
		t.Fatal(err)
	}
	if after := fromFiles(t); after >= before {
		t.Errorf("%d kB before, %d kB after", before, after)
	}
	if err := Shrink(); err != nil { // the program goes on, and it can be done again
		t.Fatal(err)
	}
}

func TestOnlyTheProgramsOwnReadOnlyMappingsAreTaken(t *testing.T) {
	const maps = `00400000-00452000 r-xp 00000000 08:02 173521      /usr/bin/saker
00651000-00652000 r--p 00051000 08:02 173521      /usr/bin/saker
00652000-00655000 rw-p 00052000 08:02 173521      /usr/bin/saker
00e03000-00e24000 rw-p 00000000 00:00 0           [heap]
35b1800000-35b1820000 r-xp 00000000 08:02 135522  /usr/lib64/ld-2.15.so
7ffe01000-7ffe02000 r-xp 00000000 00:00 0
`
	got, err := readOnly(strings.NewReader(maps), "/usr/bin/saker")
	if want := []mapping{{0x400000, 0x452000}, {0x651000, 0x652000}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	for _, wrong := range []string{"zz-10 r-xp 0 08:02 1 /x\n", "10-zz r-xp 0 08:02 1 /x\n", "20-10 r-xp 0 08:02 1 /x\n"} {
		if _, err := readOnly(strings.NewReader(wrong), "/x"); err == nil {
			t.Errorf("%q was taken", wrong)
		}
	}
}
