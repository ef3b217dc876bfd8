package fields_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"testing"
)

// traps are the points in which a sensor that is compatible with Falco is easily wrong, each
// with the folder below sensor and the test that holds it. In those marked ours, Falco is
// wrong and rules get what is right.
var traps = []struct {
	point, folder, test string
}{
	// The language.
	{"a comparison with null is false, != included; not turns it around; the text <NA> is a value", "rules", "TestNothingButNotHoldsForANullField"},
	{"proc.cmdline starts with the name, which has 15 bytes, and not with the first argument", "process", "TestCommandLines"},
	{"proc.aname without a number means any ancestor and not the process; numbers start at the parent with 1", "rules", "TestAncestorsWithoutANumberAreAskedOneByOne"},
	{"the same from the process table", "fields/syscalls", "TestProcessFields"},
	{"a failed exec matches, with the caller's proc.*", "fields/syscalls", "TestAFailedExecShowsTheCaller"},
	{"evt.arg paths are joined and not normalised when absolute, fd.name always is", "fields/syscalls", "TestOpenedFiles"},
	{"user.uid is the effective one", "probe", "TestACallHasTheCredentialsThatItLeaves"},
	{"names of users are those of the container", "process", "TestUsersOfAContainer"},
	{"lists are substituted as text, one level deep, with quotes", "rules", "TestLoading"},
	{"a rule keeps its place when it is defined again, and the first match wins", "rules", "TestTheFirstRuleInTheOrderOfDefinitionWins"},
	{"* of a glob crosses slashes, a regex is anchored, pmatch goes by components", "rules", "TestPatternsMeanThreeDifferentThings"},
	{"fd.ip, fd.port and fd.net ask both ends, != included; other descriptors have none", "rules", "TestBothEndsOfAConnectionAreAsked"},
	{"container.id is there at once, host on the host; the rest is null until the runtime has told", "fields/syscalls", "TestContainers"},
	{"six fields are added to every output", "rules", "TestContainerAndPodAreSuggestedForSystemCalls"},
	{"output_fields have their JSON types, and null", "rules", "TestOutputFieldsHaveTheirJSONTypes"},
	{"a failed open has the type o, a failed openat f; fd.filename is null", "fields/syscalls", "TestFailedOpens"},
	{"what is evaluated first costs, but does not change the result", "rules", "TestCombinationsMeanWhatTheirPartsMean"},

	// Values of fields.
	{"a process keeps proc.name when it renames itself, its next child has the new name; setpgid shows after the next exec", "fields/syscalls", "TestTheKernelsCallsLookAsRulesForFalcoExpect"},
	{"setsid shows at once", "process", "TestSetsidMakesASessionAtOnce"},
	{"O_SYNC and O_DSYNC print both, O_PATH reads", "fields/syscalls", "TestOpenFlags"},
	{"O_DIRECTORY prints no O_TMPFILE, its mode is 0 and it makes nothing executable (ours)", "fields/syscalls", "TestTheKernelsCallsLookAsRulesForFalcoExpect"},
	{"the mode of open is octal", "fields/syscalls", "TestMadeFiles"},
	{"the mode of mkdir is hexadecimal", "fields/syscalls", "TestParameters"},
	{"fd.directory of a folder is its own name", "fields/syscalls", "TestOpenedFiles"},
	{"empty and unreadable paths, unknown folders", "fields/syscalls", "TestFailedOpens"},
	{"linkat and renameat have no descriptor", "fields/syscalls", "TestEventsWithoutDescriptor"},
	{"unlinkat and its like have their folder's", "fields/syscalls", "TestDescriptorsOfFolders"},
	{"fs.path of failed calls is null; relative paths are joined with the working directory (ours); source and target of links", "fields/syscalls", "TestPathsOfLinksAndRenames"},
	{"pipes, socketpairs and memfds, made and not made", "fields/syscalls", "TestPipesAndMemoryFiles"},
	{"calls on bad descriptors", "fields/syscalls", "TestBadDescriptors"},
	{"a failed dup shows the old descriptor, another one the new", "fields/syscalls", "TestDescriptorsThatAreCopied"},
	{"on loopback both sides see the server as local", "fields/syscalls", "TestBothEndsOnLoopbackSeeTheServerAsLocal"},
	{"a socket that listens has a server's address and no other", "fields/syscalls", "TestServing"},
	{"a bind to any port", "fields/syscalls", "TestABindToAnyPort"},
	{"a bind to any address of version 6 is of version 6, and mapped addresses are named (ours)", "fields/syscalls", "TestVersion6"},
	{"fd.name_changed and fd.connected of datagrams", "fields/syscalls", "TestDatagrams"},
	{"a refused connection has no name", "fields/syscalls", "TestARefusedConnectHasNoName"},
	{"a successful execveat is an execve with the path of the descriptor", "fields/syscalls", "TestASuccessfulExecveatIsAnExecve"},
	{"a memfd that is executed has its own name", "probe", "TestAnExecFromAMemfdIsSeen"},
	{"arguments and environment are cut", "probe", "TestArgumentsAndEnvironmentAreCutAt4096Bytes"},
	{"what is no UTF-8, and control characters, become U+FFFD in output_fields", "rules", "TestTextWithoutUTF8IsMendedInOutputs"},
	{"evt.arg.args has dots for what cannot be printed", "fields/syscalls", "TestParametersOfAnExec"},
	{"procexit has no result", "fields/syscalls", "TestTypesOfEvents"},
	{"after chroot relative paths start from the old working directory", "fields/syscalls", "TestTheKernelsCallsLookAsRulesForFalcoExpect"},
	{"the times of the executable are right (ours)", "probe", "TestAProcessIsForkedExecutedAndExits"},
	{"an abstract socket's name has nothing behind it (ours)", "probe", "TestUnixSocketsHaveTheirPath"},
	{"a control group of a namespace and 32 digits is no container (ours)", "container", "TestFromCgroup"},
	{"evt.buffer without data is empty (ours)", "fields/syscalls", "TestDatagrams"},
}

func TestEveryTrapHasATest(t *testing.T) {
	tests := map[string]map[string]bool{}
	for _, trap := range traps {
		if tests[trap.folder] == nil {
			tests[trap.folder] = testsIn(t, filepath.Join("..", trap.folder))
		}
		if !tests[trap.folder][trap.test] {
			t.Errorf("%s: %s has no test %s", trap.point, trap.folder, trap.test)
		}
	}
}

// testsIn returns the names of the tests in a folder.
func testsIn(t *testing.T, folder string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s has no tests: %v", folder, err)
	}
	names := map[string]bool{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				names[f.Name.Name] = true
			}
		}
	}
	return names
}
