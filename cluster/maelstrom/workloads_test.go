package maelstrom

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/check/graph"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/longtest"
	"github.com/ordeal-dev/ordeal/systems/maelstrom"
	"github.com/ordeal-dev/ordeal/systems/operation"
	"github.com/ordeal-dev/ordeal/workload"
)

// played is a workload that was run against nodes.
type played struct {
	nodes  *nodes
	result check.Result
	broken error // the first proof that the nodes are no nodes
	counts map[history.Type]int
}

// watched notes when a client is broken.
type watched struct {
	workload.Client
	note func(error)
}

func (w watched) Invoke(ctx context.Context, op history.Event) (history.Event, error) {
	got, err := w.Client.Invoke(ctx, op)
	if operation.IsBroken(err) {
		w.note(err)
	}
	return got, err
}

// play runs one of Maelstrom's workloads for a moment against three nodes, and judges it.
func play(t *testing.T, kind string) played {
	t.Helper()
	name, _, _ := strings.Cut(kind, ":")
	p, _ := maelstrom.Named(name)
	w, err := workload.Lookup(p.Workloads[0])
	if err != nil {
		t.Fatal(err)
	}
	out := played{nodes: startNodes(t, kind), counts: map[history.Type]int{}}
	opts := workload.Options{
		Concurrency: 6, Nodes: 3, Seed: 1, TimeLimit: 500 * time.Millisecond, Rate: 1000,
		OpsPerKey: 50, LongLife: 200 * time.Millisecond, Settle: 300 * time.Millisecond,
		Promise: p.Promise(graph.StrictSerializable),
	}
	path := filepath.Join(t.TempDir(), history.FileName)
	recorder, err := history.Create(path, history.Header{Test: kind})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex // guards out.broken
	err = workload.Run(t.Context(), workload.RunConfig{
		Generator: w.Generator(opts), Final: w.Final(opts), Recorder: recorder,
		Concurrency: opts.Concurrency, Seed: opts.Seed, Timeout: 5 * time.Second,
		Open: func(_ context.Context, thread int) (workload.Client, error) {
			node := string(out.nodes.cfg.Nodes[thread%3])
			return watched{out.nodes.clients.Open(node, w.Object), func(err error) {
				mu.Lock()
				defer mu.Unlock()
				out.broken = errors.Join(out.broken, err)
			}}, nil
		},
	})
	if err := errors.Join(err, recorder.Close()); err != nil {
		t.Fatal(err)
	}
	h, err := history.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range h.Ops {
		out.counts[h.Ops[i].Type]++
	}
	out.result = w.Checker(opts).Check(t.Context(), h)
	return out
}

// TestWorkloads: nodes that know what Maelstrom's documentation says are found right in each
// of its workloads, and those that are wrong in one way are found wrong.
func TestWorkloads(t *testing.T) {
	for at, p := range maelstrom.Protocols() {
		wrong := "lose"
		switch p.Name {
		case "unique-ids":
			wrong = "same"
		case "lin-kv":
			wrong = "local"
		}
		kinds := map[string]check.Verdict{p.Name: check.Valid, p.Name + ":" + wrong: check.Invalid}
		if p.Name == "kafka" {
			kinds["kafka:shift"] = check.Invalid
		}
		for kind, want := range kinds {
			t.Run(kind, func(t *testing.T) {
				longtest.Sample(t, at, 3)
				t.Parallel()
				got := play(t, kind)
				if got.result.Verdict != want {
					t.Errorf("%v: %s, want %s: %s", got.counts, got.result.Verdict, want, got.result.Reason)
				}
				got.nodes.mu.Lock()
				defer got.nodes.mu.Unlock()
				if got.broken != nil || got.nodes.told != nil {
					t.Errorf("broken: %v; told %q", got.broken, got.nodes.told)
				}
			})
		}
	}
}

// TestStrangeNodes: what no node should say is told in a sentence. It is no violation.
func TestStrangeNodes(t *testing.T) {
	for kind, want := range map[string]string{
		"g-set:garbage":      "wrote to its standard output what is no message",
		"lin-kv:stranger":    `sent a message to "n99", which does not exist`,
		"g-set:forger":       `sent a message as if it were "n77"`,
		"pn-counter:liar":    `answered read by a message of the type "sure_ok": want read_ok or error`,
		"broadcast:text":     `answered read with messages "5": want a list of integers`,
		"txn-rw-register:me": "",
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			got := play(t, kind)
			got.nodes.mu.Lock()
			defer got.nodes.mu.Unlock()
			said := strings.Join(got.nodes.told, "\n")
			if got.broken != nil {
				said += "\n" + got.broken.Error()
			}
			if !strings.Contains(said, want) || (want == "") != (strings.TrimSpace(said) == "") {
				t.Errorf("said %q, want %q", said, want)
			}
			if got.result.Verdict == check.Invalid {
				t.Errorf("it is held against the nodes: %s", got.result.Reason)
			}
		})
	}
}
