package run

import (
	"io"
	"maps"
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/reports"
	"github.com/ordeal-dev/ordeal/systems"
)

// TestRendered: a defect of a renderer is an error beside the verdict.
func TestRendered(t *testing.T) {
	err := rendered(io.Discard, reports.Run{}, func(io.Writer, reports.Run) error {
		panic("no such column")
	})
	if err == nil || !strings.Contains(err.Error(), "panic: no such column") {
		t.Errorf("%v", err)
	}
}

// TestRoaming: of a client that goes from node to node nobody may say that it talks to one.
func TestRoaming(t *testing.T) {
	for name, want := range map[string]bool{"session": true, "register": false, "none": false} {
		if got := roaming(Test{Config: Config{Workload: name}}); got != want {
			t.Errorf("%s: roaming %v, want %v", name, got, want)
		}
	}
}

// TestVisited: which node a roaming client asked is known of the reference cluster, whose
// clients count what they ask; what never reached a client does not count.
func TestVisited(t *testing.T) {
	test := Test{Config: Config{Workload: "session", System: "reference", Concurrency: 4},
		Nodes: []string{"n1", "n2", "n3"}}
	op := func(i int64, p history.Process, err string) history.Operation {
		return history.Operation{Index: i, Process: p, F: "read", Key: "w1", Error: err}
	}
	h := &history.History{Ops: []history.Operation{
		op(1, 1, ""), op(2, 5, "timeout"), op(3, 1, "no client: refused"), op(4, 1, ""), op(5, 9, ""),
	}}
	want := map[int64]string{}
	for i, nth := range map[int]uint64{0: 1, 1: 1, 3: 2, 4: 1} {
		o := h.Ops[i]
		turn := systems.Turn(history.Event{Process: o.Process, F: o.F, Key: o.Key}, nth, 3)
		want[o.Index] = test.Nodes[(1+turn)%3] // all of them are of the second thread
	}
	if got := visited(test, h); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, other := range []func(*Test){
		func(t *Test) { t.Config.Workload = "register" }, func(t *Test) { t.Config.System = "etcd" },
		func(t *Test) { t.KeyPrefix = "x" }, func(t *Test) { t.Nodes = nil },
	} {
		changed := test
		other(&changed)
		if got := visited(changed, h); got != nil {
			t.Errorf("%+v: %v", changed, got)
		}
	}
}
