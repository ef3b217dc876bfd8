package e2e

import (
	"maps"
	"net"
	"regexp"
	"strconv"
)

// stableAttacks are those of falco_rules.yaml.
var stableAttacks = []attack{
	// The rule is about servers that have run for more than five seconds; it comes first
	// because it takes longest.
	{
		run: "nginx read-later 6s /etc/shadow",
		want: []want{{
			rule: "Read sensitive file trusted after startup", priority: "Warning", event: "openat",
			fields: fields{"fd.name": "/etc/shadow"},
		}},
		also: []string{"Read sensitive file untrusted"},
	},
	{
		run: "trigger read /etc/../etc/../etc/shadow",
		want: []want{{
			rule: "Directory traversal monitored file read", priority: "Warning", event: "openat",
			fields: fields{"fd.name": "/etc/shadow", "fd.nameraw": "/etc/../etc/../etc/shadow"},
		}},
		also: []string{"Read sensitive file untrusted"},
	},
	{
		run: "trigger read /etc/shadow",
		want: []want{{
			rule: "Read sensitive file untrusted", priority: "Warning", event: "openat",
			fields: fields{"fd.name": "/etc/shadow"},
		}},
	},
	{
		run: "httpd spawn /bin/sh -c true",
		want: []want{{
			rule: "Run shell untrusted", priority: "Notice", event: "execve", by: "/bin/sh -c true",
			fields: fields{"proc.name": "sh", "proc.exepath": "/usr/bin/dash"},
		}},
		also: []string{"Web Server Spawned Shell"},
	},
	{
		run: "trigger spawn-as daemon @login noop",
		want: []want{{
			rule: "System user interactive", priority: "Informational", event: "execve", by: "login noop",
			fields: fields{"user.name": "daemon", "user.uid": 1.0, "evt.arg.flags": "0"},
		}},
		also: []string{"User mgmt binaries", "Non sudo setuid"},
	},
	{
		name: "Terminal shell in container",
		at:   inPlain,
		do: func(s *scene, mark string) error {
			return s.podmanExec(inPlain, mark, "-t", "--", "/bin/sh", "-c", "true")
		},
		want: []want{{
			rule: "Terminal shell in container", priority: "Notice", event: "execve", by: "/bin/sh -c true",
			fields: fields{"proc.exepath": "/bin/busybox", "proc.tty": positive, "proc.pname": regexp.MustCompile("runc|conmon")},
		}},
	},
	{
		at:  inPlain,
		run: "trigger connect tcp $OWN:50001 $API:443",
		want: []want{{
			rule: "Contact K8S API Server From Container", priority: "Notice", event: "connect",
			fields: connection("$OWN:50001", "$API:443", "tcp"),
		}},
	},
	{
		at:  inPlain,
		run: "trigger spawn /bin/nc -e /bin/sh 127.0.0.1 1",
		want: []want{{
			rule: "Netcat Remote Code Execution in Container", priority: "Warning", event: "execve", by: "/bin/nc -e /bin/sh 127.0.0.1 1",
			fields: fields{"proc.exepath": "/bin/busybox"},
		}},
		also: []string{"Launch Suspicious Network Tool in Container"},
	},
	{
		run: "/usr/bin/find $DIR -name id_rsa",
		want: []want{{
			rule: "Search Private Keys or Passwords", priority: "Warning", event: "execve",
		}},
	},
	{
		run: "trigger truncate $DIR/syslog",
		want: []want{{
			rule: "Clear Log Activities", priority: "Warning", event: "openat",
			fields: fields{"fd.name": "$DIR/syslog"},
		}},
	},
	{
		run: "/usr/bin/shred -u $DIR/shredded",
		want: []want{{
			rule: "Remove Bulk Data from Disk", priority: "Warning", event: "execve", fields: fields{"fd.name": nil},
		}},
	},
	{
		run: "/usr/bin/ln -s /etc $DIR/link",
		want: []want{{
			rule: "Create Symlink Over Sensitive Files", priority: "Warning", event: "symlinkat",
			fields: fields{"evt.arg.target": "/etc", "evt.arg.linkpath": "$DIR/link"},
		}},
	},
	{
		run: "trigger link /etc/shadow $DIR/shadow",
		want: []want{{
			rule: "Create Hardlink Over Sensitive Files", priority: "Warning", event: "linkat",
			fields: fields{"evt.arg.oldpath": "/etc/shadow", "evt.arg.newpath": "$DIR/shadow"},
		}},
	},
	{
		at:  inPlain,
		run: "trigger packet-socket",
		want: []want{{
			rule: "Packet socket created in container", priority: "Notice", event: "socket",
			fields: fields{
				"evt.args": regexp.MustCompile(`fd=\d+\(<.*>.*\) domain=17\(AF_PACKET\) type=3 proto=0 .*`),
				"fd.name":  "", "fd.type": "<NA>", "fd.l4proto": "<NA>", "fd.lport": nil, "fd.rport": nil,
			},
		}},
	},
	{
		at:  inPlain,
		run: "trigger redirect $PEER:40001 $OWN:50002",
		want: []want{{
			rule: "Redirect STDOUT/STDIN to Network Connection in Container", priority: "Notice", event: "dup3",
			fields: connection("$OWN:50002", "$PEER:40001", "tcp").with(fields{"fd.sip": "$PEER"}),
		}},
		also: []string{"Unexpected inbound connection source"},
	},
	{
		at:  inPrivileged,
		run: "trigger load-module",
		want: []want{{
			rule: "Linux Kernel Module Injection Detected", priority: "Warning", event: "finit_module",
			fields: fields{"proc.args": "load-module", "evt.res": regexp.MustCompile("E[A-Z]+"), "proc.pexepath": "/bin/trigger"},
		}},
	},
	{
		at:  inPrivileged,
		run: "trigger spawn @debugfs -V",
		want: []want{{
			rule: "Debugfs Launched in Privileged Container", priority: "Warning", event: "execve", by: "debugfs -V",
		}},
	},
	{
		at:  inPrivileged,
		run: "trigger write /tmp/release_agent",
		want: []want{{
			rule: "Detect release_agent File Container Escapes", priority: "Critical", event: "openat",
			fields: fields{"fd.name": "/tmp/release_agent", "thread.cap_effective": regexp.MustCompile("CAP_CHOWN .*CAP_SYS_ADMIN.*")},
		}},
	},
	{
		run: "trigger attach",
		want: []want{{
			rule: "PTRACE attached to process", priority: "Warning", event: "ptrace",
		}},
	},
	{
		run: "trigger trace-me",
		want: []want{{
			rule: "PTRACE anti-debug attempt", priority: "Notice", event: "ptrace", by: "trigger trace-me",
		}},
	},
	{
		run: "/usr/bin/find $DIR -name .aws/credentials",
		want: []want{{
			rule: "Find AWS Credentials", priority: "Warning", event: "execve",
		}},
	},
	{
		run: "trigger copy-and-run $SHM",
		want: []want{{
			rule: "Execution from /dev/shm", priority: "Warning", event: "execve", by: "$SHM noop",
		}},
	},
	{
		at:  inPlain,
		run: "trigger copy-and-run /usr/bin/dropped",
		want: []want{{
			rule: "Drop and execute new binary in container", priority: "Critical", event: "execve", by: "/usr/bin/dropped noop",
			fields: fields{
				"evt.arg.flags":      "EXE_WRITABLE|EXE_UPPER_LAYER",
				"proc.exe_ino.ctime": positive, "proc.exe_ino.mtime": positive, "proc.exe_ino.ctime_duration_proc_start": positive,
			},
		}},
		also: []string{"Write below binary dir", "Container Drift Detected (open+create)"},
	},
	{
		at:  onNetwork,
		run: "ssh connect tcp $OWN:50003 $PEER:443",
		want: []want{{
			rule: "Disallowed SSH Connection Non Standard Port", priority: "Notice", event: "connect",
			fields: connection("$OWN:50003", "$PEER:443", "tcp"),
		}},
	},
	{
		run: "trigger memfd",
		want: []want{{
			rule: "Fileless execution via memfd_create", priority: "Critical", event: "execve", by: "trigger noop",
			fields: fields{
				"proc.name": regexp.MustCompile(`\d+`), "proc.cmdline": regexp.MustCompile(`\d+ noop`), "proc.exepath": "memfd:payload",
				"evt.arg.flags": "EXE_WRITABLE|EXE_FROM_MEMFD",
			},
		}},
	},
}

// connection are the fields of a connection from one address to another.
func connection(from, to, protocol string) fields {
	return fields{
		"fd.name": from + "->" + to, "fd.type": "ipv4", "fd.l4proto": protocol,
		"fd.lport": port(from), "fd.rport": port(to),
	}
}

// accepted are the fields of a connection to this machine, as who accepts it sees it.
func accepted(from, to, protocol string) fields {
	return connection(from, to, protocol).with(fields{"fd.lport": port(to), "fd.rport": port(from)})
}

// with adds others.
func (f fields) with(others fields) fields {
	all := maps.Clone(f)
	maps.Copy(all, others)
	return all
}

// port is the port of an address, as JSON has it.
func port(address string) float64 {
	_, text, _ := net.SplitHostPort(address)
	n, _ := strconv.Atoi(text)
	return float64(n)
}
