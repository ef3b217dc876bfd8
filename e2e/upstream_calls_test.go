package e2e

import "runtime"

// otherCalls are attacks of which other rows have the kind, by system calls and families of
// addresses that have parameters or names of their own.
func otherCalls() []attack {
	if runtime.GOARCH != "amd64" {
		return callAttacks
	}
	return append(callAttacks, legacyAttacks...)
}

var callAttacks = []attack{
	{
		name: "Directory traversal to a file that is not there",
		run:  "trigger try-read /etc/../etc/../etc/missing",
		want: []want{{
			rule: "Directory traversal monitored file read", priority: "Warning", event: "openat",
			fields: fields{"fd.name": "/etc/missing", "fd.nameraw": "/etc/../etc/../etc/missing"},
		}},
	},
	{
		name: "Read ssh information of another user",
		at:   inPlain,
		run:  "trigger read /home/user/.ssh/known_hosts",
		want: []want{{rule: "Read ssh information", priority: "Error", event: "openat", fields: fields{"fd.name": "/home/user/.ssh/known_hosts"}}},
	},
	{
		name: "Add ssh keys of another user",
		at:   inPlain,
		run:  "trigger write /home/user/.ssh/authorized_keys",
		want: []want{{
			rule: "Adding ssh keys to authorized_keys", priority: "Warning", event: "openat",
			fields: fields{"fd.name": "/home/user/.ssh/authorized_keys"},
		}},
		also: []string{"Write below monitored dir", "Create Hidden Files or Directories"},
	},
	{
		name: "Change thread namespace in a container, in vain",
		at:   inPlain,
		run:  "trigger try-enter",
		want: []want{{rule: "Change thread namespace", priority: "Notice", event: "setns"}},
	},
	{
		name: "Run a script in shared memory",
		run:  "trigger spawn /bin/sh -c $SHM.sh",
		want: []want{
			{
				rule: "Execution from /dev/shm", priority: "Warning", event: "execve", by: "/bin/sh -c $SHM.sh",
				fields: fields{"proc.exepath": "/usr/bin/dash", "evt.res": "SUCCESS"},
			},
			// The script is not there: the shell's child is still the shell.
			{
				rule: "Execution from /dev/shm", priority: "Warning", event: "execve",
				by: "/bin/sh -c $SHM.sh", parents: []string{"/bin/sh -c $SHM.sh"},
				fields: fields{"proc.exepath": "/usr/bin/dash", "evt.res": "ENOENT", "evt.arg.flags": "0"},
			},
		},
	},
	{
		name: "Run a program in shared memory that is not there",
		run:  "trigger try-exec $SHM-missing",
	},
	{
		name: "Unexpected UDP traffic over IPv6",
		at:   onNetwork,
		run:  "trigger connect udp [$6OWN]:50041 [$6PEER]:9999",
		want: []want{{
			rule: "Unexpected UDP Traffic", priority: "Notice", event: "connect",
			fields: connection("$6OWN:50041", "$6PEER:9999", "udp").with(fields{"fd.type": "ipv6", "fd.lport": 50041.0, "fd.rport": 9999.0}),
		}},
	},
	{
		name: "Rename a program by renameat2",
		at:   inPlain,
		run:  "trigger rename-2 /bin/to-be-renamed-2 /tmp/renamed-2",
		want: []want{{
			rule: "Modify binary dirs", priority: "Error", event: "renameat2",
			fields: fields{
				"evt.args": "res=0 olddirfd=-100(AT_FDCWD) oldpath=/bin/to-be-renamed-2 newdirfd=-100(AT_FDCWD) newpath=/tmp/renamed-2 flags=1(RENAME_NOREPLACE)",
			},
		}},
	},
}

// legacyAttacks use calls that only older architectures have.
var legacyAttacks = []attack{
	{
		name: "Write below etc by open",
		at:   inPlain,
		run:  "trigger legacy-open /etc/opened",
		want: []want{{rule: "Write below etc", priority: "Error", event: "open", fields: fields{"fd.name": "/etc/opened"}}},
	},
	{
		name: "Container drift by creat",
		at:   inPlain,
		run:  "trigger legacy-creat 755 /tmp/creat",
		want: []want{{
			rule: "Container Drift Detected (open+create)", priority: "Error", event: "creat",
			fields: fields{"evt.arg.filename": nil, "evt.arg.name": "/tmp/creat", "evt.arg.mode": "0755"},
		}},
	},
	{
		name: "Delete shell history by unlink",
		run:  "trigger legacy-unlink $DIR/unlinked/ash_history",
		want: []want{{
			rule: "Delete or rename shell history", priority: "Warning", event: "unlink",
			fields: fields{"evt.arg.path": "$DIR/unlinked/ash_history", "evt.arg.name": nil, "evt.arg.oldpath": nil},
		}},
	},
	{
		name: "Remove a folder of programs by rmdir",
		at:   inPlain,
		run:  "trigger legacy-rmdir /usr/bin/empty",
		want: []want{{rule: "Modify binary dirs", priority: "Error", event: "rmdir", fields: fields{"evt.args": "res=0 path=/usr/bin/empty"}}},
	},
	{
		name: "Make a folder of programs by mkdir",
		at:   inPlain,
		run:  "trigger legacy-mkdir /usr/bin/made",
		want: []want{{rule: "Mkdir binary dirs", priority: "Error", event: "mkdir", fields: fields{"evt.arg.path": "/usr/bin/made"}}},
	},
	{
		name: "Update a package repository by rename",
		at:   inPlain,
		run:  "trigger legacy-rename /data/x.list /etc/apt/sources.list.d/renamed.list",
		want: []want{{
			rule: "Update Package Repository", priority: "Notice", event: "rename",
			fields: fields{"evt.arg.newpath": "/etc/apt/sources.list.d/renamed.list", "fd.name": nil},
		}},
	},
	{
		name: "Link a sensitive file by link",
		run:  "trigger legacy-link /etc/shadow $DIR/shadow-2",
		want: []want{{
			rule: "Create Hardlink Over Sensitive Files", priority: "Warning", event: "link",
			fields: fields{"evt.arg.oldpath": "/etc/shadow", "evt.arg.newpath": "$DIR/shadow-2"},
		}},
	},
	{
		name: "Link a sensitive folder by symlink",
		run:  "trigger legacy-symlink /root $DIR/root",
		want: []want{{
			rule: "Create Symlink Over Sensitive Files", priority: "Warning", event: "symlink",
			fields: fields{"evt.arg.target": "/root", "evt.arg.linkpath": "$DIR/root"},
		}},
	},
	{
		name: "Set setgid bit by chmod",
		run:  "trigger legacy-chmod 2755 $DIR/becoming-setuid",
		want: []want{{
			rule: "Set Setuid or Setgid bit", priority: "Notice", event: "chmod",
			fields: fields{
				"evt.arg.fd": nil, "evt.arg.filename": "$DIR/becoming-setuid", "evt.arg.mode": "S_IXOTH|S_IROTH|S_IXGRP|S_IRGRP|S_IXUSR|S_IWUSR|S_IRUSR|S_ISGID",
			},
		}},
	},
	{
		name: "Redirect standard input by dup2",
		at:   inPlain,
		run:  "trigger legacy-redirect $PEER:40042 $OWN:50042",
		want: []want{{
			rule: "Redirect STDOUT/STDIN to Network Connection in Container", priority: "Notice", event: "dup2",
			fields: connection("$OWN:50042", "$PEER:40042", "tcp").with(fields{"fd.sip": "$PEER"}),
		}},
		also: []string{"Unexpected inbound connection source"},
	},
}
