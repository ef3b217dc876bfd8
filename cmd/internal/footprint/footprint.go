// Package footprint makes a program that has started small.
//
// Most of what is compiled into the program is needed by nobody: clients of services that
// are not configured set up their tables when it starts, and that is that. The kernel keeps
// the pages of the program's file that were read for it in the process's memory until it
// needs them for something else, and orchestrators count them.
package footprint

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Shrink takes the pages of the program's own file that cannot be written to out of the
// process's memory. Those that are used again come back by themselves, one fault each, from
// the kernel's cache of files.
func Shrink() error {
	path, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return err
	}
	defer maps.Close()
	parts, err := readOnly(maps, path)
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range parts {
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, p.start, p.end-p.start, unix.MADV_DONTNEED); errno != 0 {
			errs = append(errs, fmt.Errorf("give up the program's pages: %w", errno))
		}
	}
	return errors.Join(errs...)
}

// mapping is a part of the process's memory.
type mapping struct{ start, end uintptr }

// readOnly returns the mappings of the file at path that nobody can write to, of a list as
// in proc(5).
func readOnly(maps io.Reader, path string) ([]mapping, error) {
	var all []mapping
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		// 00400000-00452000 r-xp 00000000 08:02 173521      /usr/bin/saker
		fields := strings.SplitN(lines.Text(), " ", 6)
		if len(fields) < 6 || strings.TrimLeft(fields[5], " ") != path || strings.Contains(fields[1], "w") {
			continue
		}
		from, to, _ := strings.Cut(fields[0], "-")
		start, err := strconv.ParseUint(from, 16, 64)
		if err != nil {
			return nil, fmt.Errorf("read the list of mappings: %w", err)
		}
		end, err := strconv.ParseUint(to, 16, 64)
		if err != nil || end <= start {
			return nil, fmt.Errorf("read the list of mappings: %q is no range", fields[0])
		}
		all = append(all, mapping{uintptr(start), uintptr(end)})
	}
	return all, lines.Err()
}
