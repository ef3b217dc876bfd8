package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// quietVariable is the environment variable by which what ordinary work causes is told from
// what anything else on the machine does.
const quietVariable = "SAKER_E2E_QUIET"

// quietRules tell when the sensor has come to the end of the work.
const quietRules = `
- rule: End of the work
  desc: The test's own.
  condition: evt.type = execve and proc.name = end-of-work
  output: The end
  priority: WARNING
  tags: []
`

// Ordinary work on a machine causes no alert of priority warning or more, neither from
// Falco's stable and incubating rules nor from ours.
func TestOrdinaryWorkIsQuiet(t *testing.T) {
	needRoot(t)
	needPodman(t)
	sets := map[string][]string{"ours": {"../sensor/defaultrules/saker_rules.yaml"}}
	if folder := os.Getenv("SAKER_UPSTREAM_RULES"); folder != "" {
		sets["Falco's"] = []string{filepath.Join(folder, upstreamFiles[0]), filepath.Join(folder, upstreamFiles[1])}
	}
	w := newWork(t)
	end := writeFile(t, "end_rules.yaml", quietRules)
	var found sync.Map // name of the set to []alert
	var sensors sync.WaitGroup
	for name, files := range sets {
		args := []string{
			"-o", "json_output=true", "-o", "stdout_output.enabled=true", "-o", "rule_matching=all", "-o", "priority=warning", "-o", "webserver.enabled=false",
			"-c", writeFile(t, "sensor.yaml", fmt.Sprintf("append_output: [{suggested_output: true, extra_fields: [\"proc.env[%[1]s]\", \"proc.aenv[%[1]s]\", proc.cmdline]}]\n", quietVariable)),
		}
		for _, file := range append(files, end) {
			args = append(args, "-r", file)
		}
		sensor := start(t, "saker-sensor", args...)
		sensor.waitFor(t, "watching this host")
		sensors.Go(func() { found.Store(name, w.collect(sensor)) })
	}
	for _, c := range w.commands() {
		t.Run(c.name, func(t *testing.T) { w.run(t, c) })
	}
	for _, c := range w.controls() {
		w.run(t, c)
	}
	w.run(t, command{name: "the end", run: filepath.Join(w.dir, "end-of-work")})
	done := make(chan struct{})
	go func() { sensors.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("the sensors did not report the end of the work within %v", patience)
	}

	for name := range sets {
		alerts, _ := found.Load(name)
		noticed := map[string]bool{}
		for _, a := range alerts.([]alert) {
			if line, _ := a.OutputFields["proc.cmdline"].(string); strings.HasPrefix(line, control) {
				noticed[strings.TrimPrefix(line, control)] = true
			} else {
				t.Errorf("%s: rule %q found something in ordinary work: %s", name, a.Rule, a.Output)
			}
		}
		for _, c := range w.controls() {
			if !noticed[c.name] {
				t.Errorf("%s: what is no ordinary work was not noticed %s: %q", name, c.name, alerts)
			}
		}
	}
}

// control is how command lines begin that read what nobody but attackers reads, so that
// silence is known not to be deafness. Where it happens follows.
const control = "cat /etc/shadow "

func (w *work) controls() []command {
	return []command{
		{name: "on-the-host", sh: `cat /etc/shadow on-the-host 2> /dev/null || true`},
		{name: "in-a-container", sh: `
			podman run --rm --network none --cidfile $WORK/control.cid $LIMITS $IMAGE /bin/cat /etc/shadow in-a-container 2> /dev/null || true`},
	}
}

// work is what happens on a machine where nothing is wrong.
type work struct {
	dir        string   // that every user may enter
	containers string   // names of containers begin with it; also marks this work's processes
	ids        sync.Map // containers' ids, in the length of container.id
}

// command is a part of the work: a line for the shell, or a program.
type command struct{ name, sh, run string }

func newWork(t *testing.T) *work {
	t.Helper()
	dir, err := os.MkdirTemp("", "saker-e2e-work-") //nolint:usetesting // other users work in it, too
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"cron", "end-of-work"} {
		if err := os.Link(programs["trigger"], filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return &work{dir: dir, containers: fmt.Sprintf("saker-e2e-quiet-%d", os.Getpid())}
}

// run does a part of the work.
func (w *work) run(t *testing.T, c command) {
	t.Helper()
	args := []string{c.run, "noop"}
	if c.sh != "" {
		args = []string{"/bin/bash", "-e", "-o", "pipefail", "-c", c.sh}
	}
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Env = append(os.Environ(), quietVariable+"="+w.containers, "WORK="+w.dir, "NAME="+w.containers, "IMAGE="+image,
		"LIMITS="+strings.Join(limits, " "))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", c.name, err, out)
	}
	if ids, err := filepath.Glob(filepath.Join(w.dir, "*.cid")); err == nil {
		for _, file := range ids {
			id, _ := os.ReadFile(file)
			w.ids.Store(string(id[:min(12, len(id))]), true)
		}
	}
}

// collect reads alerts until the end of the work, ends the sensor, reads what it had held
// back, and returns the work's alerts.
func (w *work) collect(sensor *process) []alert {
	var all, own []alert
	var stopped sync.WaitGroup
	for line := range sensor.lines {
		var a alert
		if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &a) != nil {
			continue
		}
		if a.Rule == "End of the work" {
			if w.marked(a) {
				stopped.Go(sensor.stop)
			}
			continue
		}
		all = append(all, a)
	}
	stopped.Wait()
	for _, a := range all {
		id, _ := a.OutputFields["container.id"].(string)
		if _, contained := w.ids.Load(id); contained || w.marked(a) {
			own = append(own, a)
		}
	}
	return own
}

// marked says that the process of an alert, or one that it descends from, is of the work.
func (w *work) marked(a alert) bool {
	return a.OutputFields["proc.env["+quietVariable+"]"] == w.containers || a.OutputFields["proc.aenv["+quietVariable+"]"] == w.containers
}

// commands are the work, in order.
func (w *work) commands() []command {
	return []command{
		{name: "building this project", sh: `
			cd ..
			go build -o $WORK/built ./cmd/saker-sensor
			go build -a -o /dev/null ./event
			go vet ./event`},
		{name: "building with gcc and make", sh: `
			mkdir $WORK/c && cd $WORK/c
			printf 'int main(void) { return 0; }\n' > main.c
			gcc -O2 -o main main.c && ./main
			tar czf $WORK/c.tar.gz . && tar tzf $WORK/c.tar.gz`},
		{name: "version control", sh: `
			git init -q $WORK/repository && cd $WORK/repository
			git config user.email none@example.org && git config user.name None
			echo text > file && git add file && git commit -q -m "Add a file"
			git log --stat && git gc -q && git clone -q . $WORK/clone`},
		{name: "packages", sh: `
			mkdir -p $WORK/package/DEBIAN $WORK/package/usr/share/saker-e2e $WORK/repo $WORK/apt/lists/partial $WORK/apt/archives/partial
			printf 'Package: saker-e2e\nVersion: 1\nArchitecture: all\nMaintainer: None <none@example.org>\nDescription: none\n' > $WORK/package/DEBIAN/control
			echo text > $WORK/package/usr/share/saker-e2e/file
			dpkg-deb --root-owner-group -b $WORK/package $WORK/repo/saker-e2e.deb
			cd $WORK/repo && dpkg-scanpackages . > Packages
			echo "deb [trusted=yes] file:$WORK/repo ./" > $WORK/apt/sources.list
			options="-o Dir::Etc::sourcelist=$WORK/apt/sources.list -o Dir::Etc::sourceparts=- -o Dir::State::lists=$WORK/apt/lists -o Dir::Cache=$WORK/apt"
			apt-get $options update
			apt-get $options install -y --download-only saker-e2e
			apt-cache $options policy saker-e2e
			apt-get check
			dpkg -l && dpkg -L dpkg && dpkg -s bash && dpkg -S /bin/bash
			mkdir -p $WORK/root/var/lib/dpkg/{info,updates} && touch $WORK/root/var/lib/dpkg/{status,available}
			dpkg --root=$WORK/root --force-depends -i $WORK/repo/saker-e2e.deb
			dpkg --root=$WORK/root --verify saker-e2e
			dpkg --root=$WORK/root -P saker-e2e`},
		{name: "containers", sh: `
			for i in 1 2 3; do
				podman run -d --network none --name $NAME-$i --cidfile $WORK/$i.cid $LIMITS $IMAGE /bin/sleep 1000
				podman exec $NAME-$i /bin/sh -c "echo text > /tmp/file; cat /tmp/file /etc/motd; cp /tmp/file /tmp/copy; mv /tmp/copy /tmp/moved; rm /tmp/file"
				podman ps && podman inspect $NAME-$i && podman logs $NAME-$i && podman stats --no-stream $NAME-$i || true
				podman stop -t 0 $NAME-$i && podman rm $NAME-$i
			done
			podman images && podman info`},
		{name: "an operator's shell", sh: `
			script -qec "bash --login -i -c 'id; w; who; uname -a; ls -la /etc /root; df -h; ps aux; cat /etc/passwd /etc/os-release; history; env; date; tty'" /dev/null
			su root -c 'id; cd /; ls'
			su -s /bin/sh nobody -c 'id; ls /'
			grep -r root /etc/passwd /etc/group
			find /etc -name '*.conf' -size +1k
			getent passwd root && getent hosts localhost`},
		{name: "editing configuration", sh: `
			mkdir -p $WORK/etc && cd $WORK/etc
			printf 'a: 1\n' > service.yaml && sed -i s/1/2/ service.yaml && cp service.yaml service.yaml.bak
			install -m 0644 service.yaml installed.yaml && chmod 0600 installed.yaml && chown root:root installed.yaml
			ln -s service.yaml current.yaml && mv service.yaml.bak old.yaml && rm old.yaml
			python3 -c 'import json, os, subprocess; json.dump({"a": 1}, open("x.json", "w")); subprocess.run(["cat", "x.json"])'`},
		{name: "periodic jobs", sh: `
			mkdir $WORK/daily
			printf '#!/bin/sh\nfind /tmp -maxdepth 1 -name none -mtime +7 -delete\ndf > /dev/null\n' > $WORK/daily/clean
			printf '#!/bin/sh\ncd %s && mkdir -p log && echo line >> log/app.log && mv log/app.log log/app.log.1 && gzip -f log/app.log.1\n' $WORK > $WORK/daily/rotate
			chmod 0755 $WORK/daily/*
			$WORK/cron spawn /bin/sh -c "cd / && run-parts $WORK/daily"
			cp -a /etc/passwd $WORK/passwd.bak && cmp -s $WORK/passwd.bak /etc/passwd
			ldconfig -p > /dev/null && update-alternatives --query awk`},
		{name: "the network", sh: `
			ssh-keygen -q -t ed25519 -N '' -f $WORK/key
			cd $WORK
			python3 -m http.server --bind 127.0.0.1 0 > $WORK/port 2>&1 &
			server=$!
			until port=$(grep -o 'port [0-9]*' $WORK/port | grep -o '[0-9]*'); do kill -0 $server; done
			curl -sf http://127.0.0.1:$port/ -o /dev/null && wget -q -O /dev/null http://127.0.0.1:$port/
			kill $server; ip addr; ip route`},
	}
}
