package probe

import (
	"os"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf"
)

func TestObjectsOfAllArchitecturesFitTheReader(t *testing.T) {
	for _, file := range []string{"bpf_x86_bpfel.o", "bpf_arm64_bpfel.o"} {
		t.Run(file, func(t *testing.T) {
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			spec, err := ebpf.LoadCollectionSpecFromReader(f)
			if err != nil {
				t.Fatal(err)
			}
			check(t, "interest's size", spec.Maps[bpfMapInterests].ValueSize, uint32(unsafe.Sizeof(bpfInterest{})))
			check(t, "automaton's size without rows", spec.Maps[bpfMapAutomata].ValueSize, uint32(automatonHead+4096))
			check(t, "programs", len(spec.Programs), 8)
			check(t, "groups", spec.Maps[bpfMapGroups].MaxEntries, uint32(bpfGroupGROUP_COUNT))
			// The most that the kernel allocates for each CPU at once.
			if size := spec.Maps[bpfMapScratches].ValueSize; size > 32<<10 {
				t.Errorf("a record is put together in %d bytes", size)
			}
			// Before 5.10 a program that jumps to others may not call functions.
			for _, i := range spec.Programs[bpfProgOnSysExit].Instructions {
				check(t, "on_sys_exit calls "+i.Reference(), i.IsFunctionCall(), false)
			}
			for k, c := range calls {
				if reported := Kind(k) != KindUnknown && Kind(k) != KindFork && Kind(k) != KindProcexit; !reported {
					check(t, "the kind in an empty place of the table", c.kind, KindUnknown)
					continue
				}
				if c.kind != Kind(k) || c.Kind != uint16(c.kind) || c.Group == uint8(bpfGroupGROUP_NONE) {
					t.Errorf("%s is in the table as %+v", c.kind, c)
				}
			}
		})
	}
	for _, table := range []map[Kind][]uint32{numbers, compatNumbers} {
		seen := map[uint32]Kind{}
		for k, list := range table {
			for _, nr := range list {
				if other, ok := seen[nr]; ok || nr >= maxSyscalls {
					t.Errorf("call %d of %s is beyond the table or also of %s", nr, k, other)
				}
				seen[nr] = k
			}
		}
	}
	for k, nr := range socketCalls {
		if nr >= maxSocketCalls {
			t.Errorf("socketcall %d of %s is beyond the table", nr, k)
		}
	}
}
