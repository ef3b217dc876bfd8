package rules_test

import (
	"net/netip"
	"os"
	"testing"

	"github.com/saker-security/saker/sensor/fields/syscalls"
	"github.com/saker-security/saker/sensor/probe"
	"github.com/saker-security/saker/sensor/rules"
)

// records are events as a busy machine has them, which no stable rule matches.
func records() map[string]*probe.Record {
	base := probe.Record{PID: int32(os.Getpid()), TID: int32(os.Getpid()), Comm: "nginx", Time: 1_700_000_000_000_000_000}
	open := base
	open.Kind, open.Ret = probe.KindOpenat, 7
	open.Path, open.PathValid = "/usr/lib/x86_64-linux-gnu/libc.so.6", true
	open.File = probe.File{Kind: probe.FileRegular, Num: 7, Path: "/usr/lib/x86_64-linux-gnu/libc.so.6"}
	etc := open
	etc.Path, etc.File.Path = "/etc/ld.so.cache", "/etc/ld.so.cache"
	write := open
	write.Path, write.File.Path, write.OpenFlags = "/var/log/nginx/access.log", "/var/log/nginx/access.log", 0o2101
	exec := base
	exec.Kind, exec.Comm = probe.KindExecve, "sort"
	exec.Path, exec.PathValid = "/usr/bin/sort", true
	exec.Exec = &probe.Exec{Argv: []byte("sort\x00-u\x00input.txt\x00"), ExePath: "/usr/bin/sort", Cwd: "/srv"}
	connect := base
	connect.Kind = probe.KindConnect
	connect.Addr = netip.MustParseAddrPort("10.0.0.7:5432")
	connect.File = probe.File{
		Kind: probe.FileIPv4, Num: 5, SockType: 1, Proto: 6, Inode: 4711,
		Local: netip.MustParseAddrPort("10.0.0.3:51234"), Remote: connect.Addr,
	}
	return map[string]*probe.Record{"open": &open, "open in etc": &etc, "open for writing": &write, "execve": &exec, "connect": &connect}
}

func BenchmarkUpstreamsStableRulesWithoutMatch(b *testing.B) { benchmarkRules(b, "falco_rules.yaml") }

func BenchmarkUpstreamsRulesWithoutMatch(b *testing.B) {
	benchmarkRules(b, "falco_rules.yaml", "falco-incubating_rules.yaml", "falco-sandbox_rules.yaml")
}

func benchmarkRules(b *testing.B, names ...string) {
	rs, _, err := rules.Load(upstreamFiles(b, names...), syscallSources(), rules.Options{})
	if err != nil {
		b.Fatal(err)
	}
	for name, rec := range records() {
		// Each with its own processes: an exec changes who makes the other calls.
		source := syscalls.New(syscalls.Options{})
		b.Run(name, func(b *testing.B) {
			e := rs.NewEvaluator("syscall")
			b.ReportAllocs()
			for b.Loop() {
				ev := source.Event(rec)
				if m := e.Evaluate(ev); len(m) != 0 {
					b.Fatalf("matches %q", m[0].Rule.Name)
				}
			}
		})
		b.Run(name+" without rules", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				source.Event(rec)
			}
		})
	}
}

func BenchmarkLoadUpstreamsRules(b *testing.B) {
	files := upstreamFiles(b, "falco_rules.yaml", "falco-incubating_rules.yaml", "falco-sandbox_rules.yaml")
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := rules.Load(files, syscallSources(), rules.Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
