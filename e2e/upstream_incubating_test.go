package e2e

import (
	"regexp"
	"strings"
)

// incubatingAttacks are those of falco-incubating_rules.yaml.
var incubatingAttacks = []attack{
	{
		run: "trigger write $DIR/.bashrc",
		want: []want{{
			rule: "Modify Shell Configuration File", priority: "Warning", event: "openat", fields: fields{"fd.name": "$DIR/.bashrc"},
		}},
		also: []string{"Create Hidden Files or Directories"},
	},
	{
		run:  "crontab noop",
		want: []want{{rule: "Schedule Cron Jobs", priority: "Notice", event: "execve", fields: fields{"fd.name": nil}}},
	},
	{
		name: "Schedule cron jobs by a file",
		at:   inPlain,
		run:  "trigger write /etc/cron.d/job",
		want: []want{{rule: "Schedule Cron Jobs", priority: "Notice", event: "openat", fields: fields{"fd.name": "/etc/cron.d/job"}}},
		also: []string{"Write below etc"},
	},
	{
		at:   inPlain,
		run:  "trigger read /root/.ssh/id_rsa",
		want: []want{{rule: "Read ssh information", priority: "Error", event: "openat", fields: fields{"fd.name": "/root/.ssh/id_rsa"}}},
	},
	{
		run:  "mysqld spawn @trigger noop",
		want: []want{{rule: "DB program spawned process", priority: "Notice", event: "execve", by: "trigger noop"}},
	},
	{
		run:  "trigger enter",
		want: []want{{rule: "Change thread namespace", priority: "Notice", event: "setns"}},
	},
	{
		at:  inPlain,
		run: "trigger try-unshare",
		want: []want{{
			rule: "Change namespace privileges via unshare", priority: "Notice", event: "unshare", fields: fields{"evt.res": "EPERM"},
		}},
	},
	{
		name: "Launch containers that may do much",
		at:   inNew,
		do: func(s *scene, mark string) error {
			return s.launch(mark, "--privileged", "-v", s.dir+":/etc/kubernetes:ro")
		},
		want: []want{
			{rule: "Launch Privileged Container", priority: "Informational", event: "execve", many: true, fields: launched},
			{
				rule: "Launch Excessively Capable Container", priority: "Informational", event: "execve", many: true,
				fields: launched.with(fields{"thread.cap_permitted": regexp.MustCompile("CAP_CHOWN .*CAP_SYS_ADMIN.*")}),
			},
			{
				rule: "Launch Sensitive Mount Container", priority: "Informational", event: "execve", many: true,
				fields: launched.with(fields{"container.mounts": mounts}),
			},
			{rule: "Launch Disallowed Container", priority: "Warning", event: "execve", many: true, fields: launched},
			{rule: "Container Run as Root User", priority: "Informational", event: "execve", many: true, fields: launched},
		},
	},
	{
		at:  onNetwork,
		run: "sha1sum connect udp $OWN:50010 $PEER:53",
		want: []want{{
			rule: "System procs network activity", priority: "Notice", event: "connect", fields: connection("$OWN:50010", "$PEER:53", "udp"),
		}},
	},
	{
		run: "curl noop",
		env: []string{"HTTP_PROXY=http://203.0.113.2:3128"},
		want: []want{{
			rule: "Program run with disallowed http proxy env", priority: "Notice", event: "execve",
			fields: fields{"proc.env": environment("Program run with disallowed http proxy env", "HTTP_PROXY=http://203.0.113.2:3128")},
		}},
	},
	{
		at:  onNetwork,
		run: "trigger connect udp $OWN:50011 $PEER:9999",
		want: []want{{
			rule: "Unexpected UDP Traffic", priority: "Notice", event: "connect", fields: connection("$OWN:50011", "$PEER:9999", "udp"),
		}},
	},
	{
		run: "trigger spawn-as daemon @trigger setuid 0",
		want: []want{
			{
				rule: "Non sudo setuid", priority: "Notice", event: "setuid", by: "trigger spawn-as daemon @trigger setuid 0",
				fields: fields{"user.name": "daemon", "user.uid": 1.0, "evt.arg.uid": "daemon"},
			},
			{
				rule: "Non sudo setuid", priority: "Notice", event: "setuid", by: "trigger setuid 0",
				fields: fields{"user.name": "daemon", "user.uid": 1.0, "evt.arg.uid": "root"},
			},
		},
	},
	{
		run:  "vipw noop",
		want: []want{{rule: "User mgmt binaries", priority: "Notice", event: "execve"}},
	},
	{
		at:   inPlain,
		run:  "trigger write /dev/saker-e2e",
		want: []want{{rule: "Create files below dev", priority: "Error", event: "openat", fields: fields{"fd.name": "/dev/saker-e2e"}}},
	},
	{
		at:  inPlain,
		run: "trigger connect tcp $OWN:50012 $METADATA:80",
		want: []want{
			{
				rule: "Contact EC2 Instance Metadata Service From Container", priority: "Notice", event: "connect",
				fields: connection("$OWN:50012", "$METADATA:80", "tcp"),
			},
			{
				rule: "Contact cloud metadata service from container", priority: "Notice", event: "connect",
				fields: connection("$OWN:50012", "$METADATA:80", "tcp"),
			},
		},
	},
	{
		at:   inPlain,
		run:  "trigger spawn @apk noop",
		want: []want{{rule: "Launch Package Management Process in Container", priority: "Error", event: "execve", by: "apk noop"}},
	},
	{
		at:   inPlain,
		run:  "trigger spawn @nmap noop",
		want: []want{{rule: "Launch Suspicious Network Tool in Container", priority: "Notice", event: "execve", by: "nmap noop"}},
	},
	{
		run:  "nmap noop",
		want: []want{{rule: "Launch Suspicious Network Tool on Host", priority: "Notice", event: "execve"}},
	},
	{
		run: "trigger delete $DIR/deleted/ash_history",
		want: []want{{
			rule: "Delete or rename shell history", priority: "Warning", event: "unlinkat",
			fields: fields{"evt.arg.path": nil, "evt.arg.name": "$DIR/deleted/ash_history", "evt.arg.oldpath": nil, "fd.name": ""},
		}},
	},
	{
		name: "Rename shell history",
		run:  "trigger rename $DIR/renamed/ash_history $DIR/renamed/gone",
		want: []want{{
			rule: "Delete or rename shell history", priority: "Warning", event: "renameat",
			fields: fields{"evt.arg.path": nil, "evt.arg.name": nil, "evt.arg.oldpath": "$DIR/renamed/ash_history"},
		}},
	},
	{
		name: "Truncate shell history",
		run:  "trigger truncate $DIR/truncated/.ash_history",
		want: []want{{
			rule: "Delete or rename shell history", priority: "Warning", event: "openat",
			fields: fields{
				"fd.name": "$DIR/truncated/.ash_history", "evt.arg.path": nil, "evt.arg.name": "$DIR/truncated/.ash_history", "evt.arg.oldpath": nil,
			},
		}},
		also: []string{"Create Hidden Files or Directories"},
	},
	{
		run: "trigger chmod fchmodat 4755 $DIR/becoming-setuid",
		want: []want{{
			rule: "Set Setuid or Setgid bit", priority: "Notice", event: "fchmodat",
			fields: fields{"evt.arg.fd": nil, "evt.arg.filename": "$DIR/becoming-setuid", "evt.arg.mode": "S_IXOTH|S_IROTH|S_IXGRP|S_IRGRP|S_IXUSR|S_IWUSR|S_IRUSR|S_ISUID"},
		}},
	},
	{
		name: "Set setuid bit by a descriptor",
		run:  "trigger chmod fchmod 4755 $DIR/becoming-setuid",
		want: []want{{
			rule: "Set Setuid or Setgid bit", priority: "Notice", event: "fchmod",
			fields: fields{
				"evt.arg.fd": regexp.MustCompile(`<f>.*/becoming-setuid`), "evt.arg.filename": nil, "evt.arg.mode": "S_IXOTH|S_IROTH|S_IXGRP|S_IRGRP|S_IXUSR|S_IWUSR|S_IRUSR|S_ISUID",
			},
		}},
	},
	{
		at:   inPlain,
		run:  "trigger spawn @scp noop",
		want: []want{{rule: "Launch Remote File Copy Tools in Container", priority: "Notice", event: "execve", by: "scp noop"}},
	},
	{
		name: "Network Connection outside Local Subnet",
		at:   inNew,
		do: func(s *scene, mark string) error {
			return s.launchIn(mark, "closed", "connect", "tcp", localAddress+":50013", peerAddress+":443")
		},
		want: []want{{
			rule: "Network Connection outside Local Subnet", priority: "Warning", event: "connect",
			fields: connection("$OWN:50013", "$PEER:443", "tcp").with(fields{
				"fd.cip.name": nil, "fd.sip.name": nil, "fd.lip.name": nil, "fd.rip.name": nil,
				"k8s.ns.name": "closed", "k8s.pod.name": "e2e", "proc.cmdline": regexp.MustCompile(`trigger connect tcp .*`),
				"proc.pname": regexp.MustCompile(`runc.*|conmon`), "container.id": regexp.MustCompile(`[0-9a-f]{12}`), "container.name": anything,
			}),
		}},
		also: []string{
			"Launch Sensitive Mount Container", "Launch Disallowed Container", "Container Run as Root User",
		},
	},
	{
		at:   inPrivileged,
		run:  "trigger spawn @mount noop",
		want: []want{{rule: "Mount Launched in Privileged Container", priority: "Warning", event: "execve", by: "mount noop"}},
	},
	{
		at:   inPlain,
		run:  "trigger spawn @wget noop",
		want: []want{{rule: "Launch Ingress Remote File Copy Tools in Container", priority: "Notice", event: "execve", by: "wget noop"}},
	},
	{
		name: "Download with curl in a container",
		at:   inPlain,
		run:  "trigger spawn @curl -o /tmp/x http://127.0.0.1/",
		want: []want{{
			rule: "Launch Ingress Remote File Copy Tools in Container", priority: "Notice", event: "execve", by: "curl -o /tmp/x http://127.0.0.1/",
		}},
	},
	{
		at:  inPlain,
		run: "trigger read /proc/self/environ",
		want: []want{{
			rule: "Read environment variable from /proc files", priority: "Warning", event: "openat", fields: fields{"fd.name": "/proc/self/environ"},
		}},
	},
	{
		name: "Exfiltrating Artifacts via Kubernetes Control Plane",
		at:   inPlain,
		do: func(s *scene, mark string) error {
			return s.podmanExec(inPlain, mark, "--", "/bin/tar", "cf", "-", "/data/secret")
		},
		want: []want{{
			rule: "Exfiltrating Artifacts via Kubernetes Control Plane", priority: "Notice", event: "openat", by: "/bin/tar cf - /data/secret",
			fields: fields{"fd.name": "/data/secret", "proc.exepath": "/bin/busybox", "proc.pname": regexp.MustCompile("runc|conmon")},
		}},
	},
	{
		at:  inPlain,
		run: "trigger write /root/.ssh/authorized_keys",
		want: []want{{
			rule: "Adding ssh keys to authorized_keys", priority: "Warning", event: "openat", fields: fields{"fd.name": "/root/.ssh/authorized_keys"},
		}},
		also: []string{"Write below monitored dir", "Create Hidden Files or Directories"},
	},
	{
		name: "Misuse of GLIBC_TUNABLES",
		run:  "trigger noop",
		env:  []string{"GLIBC_TUNABLES=glibc.malloc.mxfast=1"},
		want: []want{{
			rule: "Potential Local Privilege Escalation via Environment Variables Misuse", priority: "Notice", event: "execve",
			fields: fields{"proc.env": environment("Misuse of GLIBC_TUNABLES", "GLIBC_TUNABLES=glibc.malloc.mxfast=1")},
		}},
	},
	{
		run: "sshd read $DIR/liblzma.so.5.6.0",
		want: []want{{
			rule: "Backdoored library loaded into SSHD (CVE-2024-3094)", priority: "Warning", event: "openat",
			fields: fields{"fd.name": "$DIR/liblzma.so.5.6.0", "evt.arg.flags": "O_RDONLY"},
		}},
	},
	{
		run:  "trigger load-bpf",
		want: []want{{rule: "BPF Program Not Profiled", priority: "Notice", event: "bpf", fields: fields{"evt.arg.cmd": "BPF_PROG_LOAD"}}},
	},
}

// launched are the fields of a container's first process, whichever program it runs.
var launched = fields{"proc.cmdline": regexp.MustCompile(`trigger (exec-later 2s /bin/trigger )?noop`), "proc.pname": regexp.MustCompile(`runc.*|conmon`)}

// mounts is how a volume is shown that may only be read, perhaps among others.
var mounts = regexp.MustCompile(`(.*,)?/.*/saker-e2e-site-\d+:/etc/kubernetes:[a-z,]*:false:[a-z]+(,.*)?`)

// environment is that of an attack, as one text.
func environment(attack, variable string) string {
	return markVariable + "=" + strings.ReplaceAll(attack, " ", "_") + " PATH=/usr/bin:/bin " + variable
}
