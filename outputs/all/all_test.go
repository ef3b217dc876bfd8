package all_test

import (
	"os"
	"testing"

	"github.com/saker-security/saker/outputs"
	_ "github.com/saker-security/saker/outputs/all"
)

func TestEveryOutputsFolderIsImportedAndRegisteredByItsName(t *testing.T) {
	folders, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range folders {
		if !f.IsDir() || f.Name() == "all" || f.Name() == "internal" || f.Name() == "testdata" {
			continue
		}
		n++
		if _, ok := outputs.Lookup(f.Name()); !ok {
			t.Errorf("outputs/%s registers no kind of that name; is it missing from outputs/all?", f.Name())
		}
	}
	if kinds := outputs.Kinds(); len(kinds) != n {
		t.Errorf("%d kinds are registered by %d folders", len(kinds), n)
	}
}
