package event_test

import (
	"encoding/json"
	"testing"

	goccy "github.com/goccy/go-json"

	"github.com/saker-security/saker/event"
)

// g1 is an alert as Falco sends it.
const g1 = `{"hostname":"node-1","output":"16:31:56.746609046: Error File <x> opened (user=root)","priority":"Error","rule":"Write below binary dir","source":"syscall","tags":["mitre_persistence","T1059"],"time":"2019-05-17T15:31:56.746609046Z","output_fields":{"evt.time":1507591916746609046,"fd.name":"/bin/hack","k8s.ns.name":"ns1","k8s.pod.name":null,"proc.aname[2]":"bash","proc.cmdline":"touch /bin/hack","proc.pid":1234}}`

// typical is an alert of one of upstream's stable rules, 1 kB long.
const typical = `{"hostname":"node-1","output":"16:31:56.746609046: Warning Sensitive file opened for reading by non-trusted program | file=/etc/shadow gparent=sshd ggparent=systemd gggparent=<NA> evt_type=openat user=root user_uid=0 user_loginuid=1000 process=cat proc_exepath=/usr/bin/cat parent=bash command=cat \"/etc/shadow\" terminal=34816 container_id=host container_name=host","output_fields":{"container.id":"host","container.name":"host","evt.time":1507591916746609046,"evt.type":"openat","fd.name":"/etc/shadow","k8s.ns.name":null,"k8s.pod.name":null,"proc.aname[2]":"sshd","proc.aname[3]":"systemd","proc.cmdline":"cat \"/etc/shadow\"","proc.exepath":"/usr/bin/cat","proc.name":"cat","proc.pname":"bash","proc.tty":34816,"user.loginuid":1000,"user.name":"root","user.uid":0},"priority":"Warning","rule":"Read sensitive file untrusted","source":"syscall","tags":["T1555","container","filesystem","host","maturity_stable","mitre_credential_access"],"time":"2019-05-17T15:31:56.746609046Z"}`

var benchEvents = []struct{ name, text string }{{"g1", g1}, {"typical", typical}}

func BenchmarkDecode(b *testing.B) {
	for _, in := range benchEvents {
		data := []byte(in.text)
		run := func(name string, decode func() error) {
			b.Run(name+"/"+in.name, func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(data)))
				for b.Loop() {
					if err := decode(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		run("saker", func() error { _, err := event.Decode(data); return err })
		run("encoding-json", func() error { return json.Unmarshal(data, new(reference)) })
		run("goccy", func() error { return goccy.Unmarshal(data, new(reference)) })
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, in := range benchEvents {
		var ref reference
		if err := json.Unmarshal([]byte(in.text), &ref); err != nil {
			b.Fatal(err)
		}
		e, err := event.Decode([]byte(in.text))
		if err != nil {
			b.Fatal(err)
		}
		var buf []byte
		run := func(name string, encode func() error) {
			b.Run(name+"/"+in.name, func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(in.text)))
				for b.Loop() {
					if err := encode(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		run("saker", func() error { buf = e.AppendJSON(buf[:0]); return nil })
		run("encoding-json", func() error { _, err := json.Marshal(&ref); return err })
		run("goccy", func() error { _, err := goccy.Marshal(&ref); return err })
	}
}

func BenchmarkDecodeEncode(b *testing.B) {
	data := []byte(typical)
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		e, err := event.Decode(data)
		if err != nil {
			b.Fatal(err)
		}
		buf = e.AppendJSON(buf[:0])
	}
}

func BenchmarkDecodeAll(b *testing.B) {
	var data []byte
	for range 100 {
		data = append(append(data, typical...), '\n')
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := event.DecodeAll(data, 100); err != nil {
			b.Fatal(err)
		}
	}
}
