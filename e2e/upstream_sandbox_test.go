package e2e

// sandboxAttacks are those of falco-sandbox_rules.yaml.
var sandboxAttacks = []attack{
	{
		at:  onNetwork,
		run: "trigger accept $OWN:40002 $PEER:50020",
		want: []want{
			{
				rule: "Unexpected inbound connection source", priority: "Notice", event: "listen",
				fields: fields{"fd.name": "$OWN:40002", "fd.type": "ipv4", "fd.l4proto": "tcp", "fd.lport": nil, "fd.rport": nil},
			},
			{
				rule: "Unexpected inbound connection source", priority: "Notice", event: "accept4",
				fields: accepted("$PEER:50020", "$OWN:40002", "tcp"),
			},
		},
	},
	{
		run:  "trigger read $DIR/home/.bashrc",
		want: []want{{rule: "Read Shell Configuration File", priority: "Warning", event: "openat", fields: fields{"fd.name": "$DIR/home/.bashrc"}}},
	},
	{
		at:  inPlain,
		run: "trigger write /etc/apt/sources.list.d/x.list",
		want: []want{{
			rule: "Update Package Repository", priority: "Notice", event: "openat",
			fields: fields{"fd.name": "/etc/apt/sources.list.d/x.list", "evt.arg.newpath": nil},
		}},
		also: []string{"Write below etc"},
	},
	{
		at:   inPlain,
		run:  "trigger write /usr/bin/written",
		want: []want{{rule: "Write below binary dir", priority: "Error", event: "openat", fields: fields{"fd.name": "/usr/bin/written"}}},
	},
	{
		at:   inPlain,
		run:  "trigger write /usr/local/bin/written",
		want: []want{{rule: "Write below monitored dir", priority: "Error", event: "openat", fields: fields{"fd.name": "/usr/local/bin/written"}}},
	},
	{
		at:   inPlain,
		run:  "trigger write /etc/written",
		want: []want{{rule: "Write below etc", priority: "Error", event: "openat", fields: fields{"fd.name": "/etc/written"}}},
	},
	{
		at:   inPlain,
		run:  "trigger write /root/written",
		want: []want{{rule: "Write below root", priority: "Error", event: "openat", fields: fields{"fd.name": "/root/written"}}},
	},
	{
		at:   inPlain,
		run:  "trigger write /var/lib/rpm/written",
		want: []want{{rule: "Write below rpm database", priority: "Error", event: "openat", fields: fields{"fd.name": "/var/lib/rpm/written"}}},
	},
	{
		at:  inPlain,
		run: "trigger rename /bin/to-be-renamed /tmp/renamed",
		want: []want{{
			rule: "Modify binary dirs", priority: "Error", event: "renameat",
			fields: fields{"evt.args": "res=0 olddirfd=-100(AT_FDCWD) oldpath=/bin/to-be-renamed newdirfd=-100(AT_FDCWD) newpath=/tmp/renamed"},
		}},
	},
	{
		at:   inPlain,
		run:  "trigger make-folder /usr/bin/folder",
		want: []want{{rule: "Mkdir binary dirs", priority: "Error", event: "mkdirat", fields: fields{"evt.arg.path": "/usr/bin/folder"}}},
	},
	{
		at:  onNetwork,
		run: "lua accept $OWN:40003 $PEER:50021",
		want: []want{
			{
				rule: "Interpreted procs inbound network activity", priority: "Notice", event: "listen",
				fields: fields{"fd.name": "$OWN:40003", "fd.type": "ipv4", "fd.l4proto": "tcp", "fd.lport": nil, "fd.rport": nil},
			},
			{
				rule: "Interpreted procs inbound network activity", priority: "Notice", event: "accept4",
				fields: accepted("$PEER:50021", "$OWN:40003", "tcp"),
			},
		},
		also: []string{"Unexpected inbound connection source", "Interpreted procs outbound network activity"},
	},
	{
		at:  onNetwork,
		run: "python3 connect udp $OWN:50022 $PEER:53",
		want: []want{{
			rule: "Interpreted procs outbound network activity", priority: "Notice", event: "connect",
			fields: connection("$OWN:50022", "$PEER:53", "udp"),
		}},
	},
	{
		at:  inPlain,
		run: "trigger connect tcp $OWN:50023 $PEER:30080",
		want: []want{{
			rule: "Unexpected K8s NodePort Connection", priority: "Notice", event: "connect", fields: connection("$OWN:50023", "$PEER:30080", "tcp"),
		}},
	},
	{
		run: "trigger make-folder $DIR/.hidden",
		want: []want{{
			rule: "Create Hidden Files or Directories", priority: "Notice", event: "mkdirat", fields: fields{"evt.arg.newpath": nil, "fd.name": ""},
		}},
	},
	{
		at:  onNetwork,
		run: "trigger connect tcp $OWN:50024 $POOL:3333",
		want: []want{{
			rule: "Detect outbound connections to common miner pool ports", priority: "Critical", event: "connect",
			fields: connection("$OWN:50024", "$POOL:3333", "tcp").with(fields{"fd.rip": "$POOL"}),
		}},
	},
	{
		run:  "worker -o stratum+tcp://127.0.0.1:3333",
		want: []want{{rule: "Detect crypto miners using the Stratum protocol", priority: "Critical", event: "execve"}},
	},
	{
		at:   inPlain,
		run:  "trigger spawn @kubectl noop",
		want: []want{{rule: "Kubernetes Client Tool Launched in Container", priority: "Warning", event: "execve", by: "kubectl noop"}},
	},
	{
		at:  inPlain,
		run: "trigger chmod fchmodat 755 /data/becoming-exe",
		want: []want{{
			rule: "Container Drift Detected (chmod)", priority: "Error", event: "fchmodat",
			fields: fields{
				"evt.arg.filename": "/data/becoming-exe", "evt.arg.name": nil,
				"evt.arg.mode": "S_IXOTH|S_IROTH|S_IXGRP|S_IRGRP|S_IXUSR|S_IWUSR|S_IRUSR",
			},
		}},
	},
	{
		at:  inPlain,
		run: "trigger create 755 /tmp/created",
		want: []want{{
			rule: "Container Drift Detected (open+create)", priority: "Error", event: "openat",
			fields: fields{"evt.arg.filename": nil, "evt.arg.name": "/tmp/created", "evt.arg.mode": "0755"},
		}},
	},
	{
		run: `trigger spawn-login 1 @sudoedit -s \`,
		want: []want{{
			rule: "Sudo Potential Privilege Escalation", priority: "Critical", event: "execve", by: `sudoedit -s \`, fields: fields{"user.loginuid": 1.0},
		}},
	},
	{
		run: "trigger spawn-as daemon @trigger handle-faults",
		want: []want{{
			rule: "Unprivileged Delegation of Page Faults Handling to a Userspace Process", priority: "Critical", event: "userfaultfd",
			by: "trigger handle-faults", fields: fields{"user.name": "daemon", "user.uid": 1.0},
		}},
		also: []string{"Non sudo setuid"},
	},
	{
		run: "trigger spawn-login 1 @pkexec",
		want: []want{{
			rule: "Polkit Local Privilege Escalation Vulnerability (CVE-2021-4034)", priority: "Critical", event: "execve",
			by: "pkexec", fields: fields{"user.loginuid": 1.0, "proc.args": ""},
		}},
	},
	{
		at:  onNetwork,
		run: "java receive $OWN:40004 $PEER:50025",
		want: []want{{
			rule: "Java Process Class File Download", priority: "Critical", event: "recvfrom",
			fields: accepted("$PEER:50025", "$OWN:40004", "udp").with(fields{"fd.sip": "$OWN", "fd.sport": 40004.0}),
		}},
		also: []string{"Unexpected inbound connection source"},
	},
	{
		at:   inPlain,
		run:  "trigger write-to-fd /tmp/entrypoint",
		want: []want{{rule: "Modify Container Entrypoint", priority: "Warning", event: "openat", fields: fields{"fd.name": "/proc/self/fd/42"}}},
	},
	{
		at:   inPlain,
		run:  "trigger noop base64 -d",
		want: []want{{rule: "Decoding Payload in Container", priority: "Informational", event: "execve"}},
	},
	{
		run: "trigger spawn-in-tty @whoami noop",
		want: []want{{
			rule: "Basic Interactive Reconnaissance", priority: "Notice", event: "execve", by: "whoami noop", fields: fields{"proc.tty": positive},
		}},
	},
	{
		run:  "ncat --sh-exec /bin/sh 127.0.0.1 1",
		want: []want{{rule: "Netcat/Socat Remote Code Execution on Host", priority: "Warning", event: "execve"}},
		also: []string{"Launch Suspicious Network Tool on Host"},
	},
	{
		at:   inPlain,
		run:  "yarn spawn @nmap noop",
		want: []want{{rule: "Network Tool Executed During NPM Package Install", priority: "Warning", event: "execve", by: "nmap noop"}},
		also: []string{"Launch Suspicious Network Tool in Container"},
	},
	{
		run:  "xmrig noop",
		want: []want{{rule: "Known Cryptominer Process Executed", priority: "Critical", event: "execve"}},
	},
	{
		run: "nginx spawn /bin/sh -c true",
		want: []want{{
			rule: "Web Server Spawned Shell", priority: "Critical", event: "execve", by: "/bin/sh -c true",
			fields: fields{"proc.exepath": "/usr/bin/dash"},
		}},
		also: []string{"Run shell untrusted"},
	},
	{
		run:  "nginx spawn @id noop",
		want: []want{{rule: "Web Server Spawned Suspicious Child Process", priority: "Warning", event: "execve", by: "id noop"}},
	},
	{
		run:  "nginx spawn @trigger noop /dev/tcp/203.0.113.2/443",
		want: []want{{rule: "Reverse Shell from Web Server", priority: "Critical", event: "execve", by: "trigger noop /dev/tcp/203.0.113.2/443"}},
	},
	{
		at:   inPlain,
		run:  "trigger read /dev/sdz",
		want: []want{{rule: "Privileged Container Device Access", priority: "Critical", event: "openat", fields: fields{"fd.name": "/dev/sdz"}}},
	},
	{
		at:   inPlain,
		run:  "trigger read /host/home/.bashrc",
		want: []want{{rule: "Container Access to Host Sensitive Paths", priority: "Warning", event: "openat", fields: fields{"fd.name": "/host/home/.bashrc"}}},
		also: []string{"Read Shell Configuration File"},
	},
}
