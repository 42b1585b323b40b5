package serve

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/nemesis"
	"github.com/ordeal-dev/ordeal/reports"
	"github.com/ordeal-dev/ordeal/reports/live"
	"github.com/ordeal-dev/ordeal/reports/store"
)

var started = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// hostile is text that breaks out of wherever it is not escaped.
const hostile = `"'><script>alert(1)</script><img src=x onerror=alert(2)>` + "\r\nSet-Cookie: a=b"

// sample is a run for the store.
type sample struct {
	name, stamp, system, bug, workload string
	faults                             []string
	seed                               uint64
	verdict                            check.Verdict
	unjudged                           bool
	ops                                int
	text                               string // goes wherever a system under test has a say
}

// put stores a run as a test would leave it, and returns its directory.
func (s sample) put(t testing.TB, dir string, at time.Time) string {
	t.Helper()
	d := filepath.Join(dir, s.name, s.stamp)
	write := func(name string, b []byte) {
		path := filepath.Join(d, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put := func(name string, v any) {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		write(name, b)
	}
	node := "n2" + s.text
	put("test.json", map[string]any{
		"name": s.name, "started": at, "system": s.system, "nodes": []string{"n1", node},
		"repeat": "checker test --seed 7 " + s.text,
		"config": map[string]any{
			"workload": s.workload, "bug": s.bug, "faults": s.faults, "seed": s.seed, "nodes": 2,
			"time_limit": 20e9, "check_time": 60e9, "cluster": "local", "concurrency": 3,
		},
	})
	events := s.events()
	write("history.jsonl", events)
	write("ledger.jsonl", s.ledger(t, node))
	write("nodes/n1/node.log", []byte("log of n1\n"+s.text+"\n"))
	if s.unjudged {
		return d
	}
	h, err := history.Read(bytes.NewReader(events), "fixture")
	if err != nil {
		t.Fatal(err)
	}
	stats := check.Stats().Check(t.Context(), h)
	result := check.Result{Name: "all", Verdict: s.verdict, Reason: "because " + s.text,
		Parts: []check.Result{stats, {Name: "linearizable", Verdict: s.verdict,
			Reason: "it is so " + s.text}}}
	put("results.json", result)
	var page bytes.Buffer
	if err := reports.HTML(&page, reports.Run{
		Name: s.name, Claim: s.text, Started: at, Result: result, History: h,
		Nodes: []string{"n1", node}, Concurrency: 3,
	}); err != nil {
		t.Fatal(err)
	}
	write("report.html", page.Bytes())
	return d
}

// events are operations of three clients, twenty a second.
func (s sample) events() []byte {
	b := []byte("{\"ordeal\":\"history\",\"format\":1}\n")
	for i := range int64(s.ops) {
		e := history.Event{
			Index: 2 * i, Time: history.Time(i * 50e6), Process: history.Process(i % 3), F: "read",
			Key: history.Key("k" + s.text),
		}
		b = append(e.AppendJSON(b), '\n')
		e.Index, e.Time, e.Type = e.Index+1, e.Time+history.Time(1e6*(i%30+1)), history.OK
		if i%10 == 9 {
			e.Type, e.Error = history.Fail, "refused "+s.text
		}
		b = append(e.AppendJSON(b), '\n')
	}
	return b
}

// ledger has a cut that is healed and one that is not.
func (s sample) ledger(t testing.TB, node string) []byte {
	t.Helper()
	links := []nemesis.Link{{From: "n1", To: nemesis.Node(node)}}
	var b []byte
	for _, e := range []nemesis.Entry{
		{Type: nemesis.EntryIntent, At: 1e9, Fault: 1, Intent: &nemesis.Intent{
			Step: nemesis.Step{ID: 1, Fault: "pause"}, Nodes: []nemesis.Node{"n1"},
			What: "pause n1" + s.text}},
		{Type: nemesis.EntryHealed, At: 3e9, Fault: 1, Evidence: &nemesis.Evidence{Bit: true}},
		{Type: nemesis.EntryIntent, At: 4e9, Fault: 2, Intent: &nemesis.Intent{
			Step: nemesis.Step{ID: 2, Fault: "partition"}, What: "n1 | n2" + s.text, Links: links,
			Cut: true}},
	} {
		line, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		b = append(append(b, line...), '\n')
	}
	return b
}

// samples are runs of all kinds, the oldest first.
func samples() []sample {
	return []sample{
		{name: "paxos-register", stamp: "1", system: "reference paxos", workload: "register",
			faults: []string{"kill"}, seed: 7, ops: 200},
		{name: "paxos-register", stamp: "2", system: "reference paxos", workload: "register",
			faults: []string{"kill"}, seed: 8, verdict: check.Invalid, bug: "mp-bug", ops: 150},
		{name: "etcd-bank", stamp: "3", system: "etcd", workload: "bank",
			faults: []string{"all", "clock"}, seed: 9, verdict: check.Unknown, ops: 90},
		{name: "etcd-bank", stamp: "4", system: "etcd", workload: "bank",
			faults: []string{"none"}, seed: 9, unjudged: true, ops: 30},
		{name: "paxos-register", stamp: "5", system: "reference paxos", workload: "register",
			faults: []string{"kill"}, seed: 10, unjudged: true, ops: 120},
	}
}

// newStore puts the samples, of which the last one is running.
func newStore(t testing.TB, all ...sample) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for i, s := range all {
		d := s.put(t, dir, started.Add(time.Duration(i)*24*time.Hour))
		if i > 0 && i == len(all)-1 {
			if err := live.Write(d, live.Status{
				Phase: live.PhaseWorkload, Now: 6e9,
				Findings: []live.Finding{{At: 5e9, Kind: live.Trouble, Text: "a node died" + s.text}},
			}); err != nil {
				t.Fatal(err)
			}
			r, err := store.Read(filepath.Join(dir, all[0].name, all[0].stamp))
			if err != nil {
				t.Fatal(err)
			}
			r.CheckTook = 2 * time.Second
			if err := store.Append(dir, r); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

// site is a server of a store.
type site struct {
	t testing.TB
	*httptest.Server
}

func serve(t testing.TB, dir string) site {
	t.Helper()
	w, err := New(Config{Store: dir, Now: time.Now, Hosts: []string{"ci.example.org"},
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(w)
	t.Cleanup(s.Close)
	return site{t, s}
}

// get asks for a path and returns the answer with its body.
func (s site) get(path string) (*http.Response, string) {
	s.t.Helper()
	return s.ask("GET", path, "")
}

func (s site) ask(method, path, host string) (*http.Response, string) {
	s.t.Helper()
	r, err := http.NewRequest(method, s.URL+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Host = host
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	answer, err := client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	b, err := io.ReadAll(answer.Body)
	if err := fmt.Errorf("%v %v", err, answer.Body.Close()); err.Error() != "<nil> <nil>" {
		s.t.Fatal(err)
	}
	return answer, string(b)
}

// object asks for JSON.
func (s site) object(path string, v any) {
	s.t.Helper()
	answer, body := s.get(path)
	kind := answer.Header.Get("Content-Type")
	if answer.StatusCode != 200 || !strings.HasPrefix(kind, "application/json") {
		s.t.Fatalf("%s: %d %s", path, answer.StatusCode, body)
	}
	if err := json.Unmarshal([]byte(body), v); err != nil {
		s.t.Fatalf("%s: %v in %s", path, err, body)
	}
}
