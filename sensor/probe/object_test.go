package probe

import (
	"os"
	"testing"

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
			check(t, "table's size", spec.Maps[bpfMapSyscalls].MaxEntries, uint32(tableSize))
			check(t, "programs", len(spec.Programs), 8)
			check(t, "groups", spec.Maps[bpfMapGroups].MaxEntries, uint32(bpfGroupGROUP_COUNT))
			// The most that the kernel allocates for each CPU at once.
			if size := spec.Maps[bpfMapScratches].ValueSize; size > 32<<10 {
				t.Errorf("a record is put together in %d bytes", size)
			}
			for _, c := range calls {
				if c.Kind != uint16(c.kind) || c.Group == uint8(bpfGroupGROUP_NONE) {
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
