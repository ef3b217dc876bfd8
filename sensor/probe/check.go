package probe

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/features"
	"golang.org/x/sys/unix"
)

// Check says whether the probe can run here: it returns nil or, in one error, everything
// that is missing and what to do about it. Without the privilege to ask the kernel it
// reports that alone.
func Check() error {
	if err := checkPrivileges(); err != nil {
		return err
	}
	var missing []error
	if _, err := btf.LoadKernelSpec(); err != nil {
		missing = append(missing, fmt.Errorf("the kernel has no type information (/sys/kernel/btf/vmlinux): "+
			"one built with CONFIG_DEBUG_INFO_BTF=y is needed: %w", err))
	}
	if err := features.HaveMapType(ebpf.RingBuf); errors.Is(err, ebpf.ErrNotSupported) {
		missing = append(missing, errors.New("the kernel has no BPF ring buffer: 5.8 or later is needed"))
	}
	if err := features.HaveProgramHelper(ebpf.RawTracepoint, asm.FnKtimeGetBootNs); errors.Is(err, ebpf.ErrNotSupported) {
		missing = append(missing, errors.New("the kernel has no boot clock for BPF: 5.8 or later is needed"))
	}
	if lockdown() == "confidentiality" {
		missing = append(missing, errors.New("the kernel is locked down (confidentiality), "+
			"which forbids BPF programs to read kernel memory: boot with lockdown=integrity or none"))
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("this kernel (%s) cannot run the probe: %w", release(), errors.Join(missing...))
}

// checkPrivileges looks for the capabilities; CAP_SYS_ADMIN stands for the others.
func checkPrivileges() error {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return fmt.Errorf("read own capabilities: %w", err)
	}
	caps, err := effectiveCapabilities(string(status))
	if err != nil {
		return err
	}
	has := func(c int) bool { return caps&(1<<c) != 0 }
	if has(unix.CAP_SYS_ADMIN) {
		return nil
	}
	var missing []string
	if !has(unix.CAP_BPF) {
		missing = append(missing, "CAP_BPF")
	}
	if !has(unix.CAP_PERFMON) {
		missing = append(missing, "CAP_PERFMON")
	}
	if len(missing) > 0 {
		return fmt.Errorf("the probe needs the privilege %s: run as root, or grant it", strings.Join(missing, " and "))
	}
	return nil
}

func effectiveCapabilities(status string) (uint64, error) {
	_, rest, ok := strings.Cut(status, "CapEff:")
	line, _, _ := strings.Cut(rest, "\n")
	if !ok {
		return 0, errors.New("/proc/self/status tells no capabilities")
	}
	caps, err := strconv.ParseUint(strings.TrimSpace(line), 16, 64)
	if err != nil {
		return 0, fmt.Errorf("read own capabilities: %w", err)
	}
	return caps, nil
}

// lockdown returns the kernel's lockdown mode, empty if it has none.
func lockdown() string {
	modes, err := os.ReadFile("/sys/kernel/security/lockdown")
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(modes), "[")
	mode, _, _ := strings.Cut(rest, "]")
	return mode
}

func release() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}
