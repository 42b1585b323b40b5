package declare

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/check/graph"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/systems/native"
	"github.com/ordeal-dev/ordeal/workload"
)

const whole = `
name: mykv
doc: a store
version: echo mykv 1.0
nodes: {count: 5, port: 8080, peer_port: 9090, ready_within: 20s, stop_within: 2s}
files: [server]
env: {MODE: "{{ .Name }}"}
install: mkdir -p {{ .Data }}/log
start: exec {{ .Files }}/server --listen {{ .Bind }} --peers {{ each "$peer" "," .Peers }}
stop: "{{ .Files }}/server stop"
wipe: rm -rf {{ .Data }}/*
process: {pid_file: "{{ .Data }}/pid"}
logs: "{{ .Data }}/log/*.log"
status:
  url: http://{{ .Endpoint }}/status
  primary: {json: {$.role: leader}}
  members: $.members
admin:
  transfer: {method: POST, url: "http://{{ .Endpoint }}/lead/{{ .To }}"}
  add-member: {run: "./member add {{ .To }}"}
  remove-member: {run: "./member remove {{ .To }}"}
claim:
  text: strong
  available: true
  faults: [kill, partition]
  workloads:
    set-full: eventual
    list-append: snapshot-isolation
client:
  driver: {command: [./driver, -v], env: {A: b}}
`

// TestLoad: a declaration is taken over as it is written.
func TestLoad(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "server"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	d, err := Load(filepath.Join(dir, "mykv.yaml"), []byte(whole), nil)
	if err != nil {
		t.Fatal(err)
	}
	if d.Name != "mykv" || d.Count != 5 || d.Port != 8080 || d.PeerPort != 9090 ||
		d.ReadyWithin != 20*time.Second || d.StopWithin != 2*time.Second ||
		d.Files[0] != filepath.Join(dir, "server") || d.Env["MODE"] != "{{ .Name }}" ||
		!d.Claim.Available || !d.Status.HasPrimary() || len(d.Orders) != 3 || d.HTTP != nil ||
		strings.Join(d.Driver.Argv, " ") != "./driver -v" || d.Driver.Env[0] != "A=b" {
		t.Errorf("%+v", d)
	}
	want := []Promised{
		{"set-full", "eventual", workload.Promise{Eventual: true}},
		{"list-append", "snapshot-isolation",
			workload.Promise{Isolation: graph.SnapshotIsolation}},
	}
	for i, p := range want {
		if d.Claim.Workloads[i] != p {
			t.Errorf("promise %d is %+v, want %+v", i, d.Claim.Workloads[i], p)
		}
	}
}

// TestNoFaults: a claim that survives nothing is another one than a claim that does not say.
func TestNoFaults(t *testing.T) {
	for faults, want := range map[string]int{"faults: []": 0, "available: true": 6} {
		d, err := Load("a.yaml", []byte("name: a\nclient: {driver: {command: [date]}}\n"+
			"claim: {text: some, "+faults+", workloads: {register: linearizable}}\n"), nil)
		if err != nil || d.Claim.Faults == nil || len(d.Claim.Faults) != want {
			t.Errorf("%s: %v, want %d of them (%v)", faults, d.Claim.Faults, want, err)
		}
	}
}

// TestMistakes: all mistakes are told at once, with file and line; of a file that is no
// YAML the one that there is.
func TestMistakes(t *testing.T) {
	_, err := Load("dir/mykv.yaml", []byte(`
name: my kv
nodes: {count: 12, port: 80, peer_port: 80, ready_within: 0s}
files: [nothing.py]
strat: ./server
stop: ./stop {{ .Nmae }}
env: {1A: b}
process: {pid_file: a, pattern: b}
status: {}
admin:
  transfer: {url: "http://{{ .Endpoint }}/"}
  reboot: {run: reboot}
  add-member: {run: x}
claim:
  faults: [kill, plague]
  workloads:
    register: serializable
    set-full: eventual
    banc: linearizable
client:
  http:
    objects:
      register:
        read: {url: "http://{{ .Endpoint }}/{{ .Key }}", ok: {value: $.v}}
`), nil)
	want := []string{
		`mykv.yaml:2: name is "my kv"`,
		`mykv.yaml:3: count is 12: want 1 to 9`,
		`mykv.yaml:3: port and peer_port are both 80`,
		`mykv.yaml:3: 0s: want more than 0s`,
		`mykv.yaml:4: files: stat `,
		`mykv.yaml:5: unknown key "strat" of the document: there is name, `,
		`mykv.yaml:6: stop: can't evaluate field Nmae`,
		`mykv.yaml:6: stop without start`,
		`mykv.yaml:7: env: "1A" is no name of a variable`,
		`mykv.yaml:8: process has a pattern and a pid_file`,
		`mykv.yaml:9: status needs a url`,
		`mykv.yaml:12: admin: unknown order "reboot"`,
		`mykv.yaml:13: admin: who is removed must be added again`,
		`claim has no text`,
		`mykv.yaml:15: claim: unknown family of faults "plague"`,
		`mykv.yaml:17: claim: register cannot be promised "serializable": there is linearizable`,
		`mykv.yaml:17: claim: workload register: the client has no write of a register`,
		`mykv.yaml:18: claim: workload set-full: the client has no read of a set`,
		`mykv.yaml:19: claim: workload "banc": there are register, `,
	}
	if err == nil {
		t.Fatal("no mistakes")
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q is missing", w)
		}
	}
	if t.Failed() {
		t.Log(err)
	}
	_, err = Load("a.yaml", []byte("name: [a"), nil)
	if err == nil || !strings.HasPrefix(err.Error(), "a.yaml:") {
		t.Errorf("%v", err)
	}
}

// TestPromises: every workload can be promised something, the first of it being the
// strongest.
func TestPromises(t *testing.T) {
	for _, w := range workload.All() {
		all := consistencies(w.Name)
		if len(all) == 0 {
			t.Errorf("%s can be promised nothing", w.Name)
		}
		for _, c := range all {
			if got, err := Promise(w.Name, c.name); err != nil || got != c.promise {
				t.Errorf("%s %s: %+v, %v", w.Name, c.name, got, err)
			}
		}
		if w.Name != "liveness" && all[0].promise != (workload.Promise{}) {
			t.Errorf("%s: the first promise is not the strongest: %+v", w.Name, all[0])
		}
		if _, err := Promise(w.Name, "eventually maybe"); err == nil {
			t.Errorf("%s can be promised anything", w.Name)
		}
	}
}

// clock has reads of a register, and nothing else.
type clock struct{ native.Client }

func (clock) Has(object string, f history.F) bool { return object == "register" && f == "read" }

// TestLoadNative: a client that is given need not be described, must not be, and is what
// claims are held against.
func TestLoadNative(t *testing.T) {
	const head = "name: clock\nclaim: {text: some, workloads: {register: linearizable}}\n"
	for want, text := range map[string]string{
		"clock:2: claim: workload register: the client of clock has no write of a reg": head,

		"clock:3: client: it has one of its own": head + "client: {driver: {command: [date]}}",
	} {
		_, err := LoadNative("clock", []byte(text), clock{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	_, err := Load("clock.yaml", []byte(head), nil)
	if err == nil || !strings.Contains(err.Error(), "client: want http, driver or sql") {
		t.Errorf("a file without a client: %v", err)
	}
}
