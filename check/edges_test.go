package check

import (
	"encoding/json"
	"testing"
)

// TestEdges: the counterexample of a stale read contradicts itself in its edges, and a
// report can be drawn from them alone.
func TestEdges(t *testing.T) {
	h := mustTimeline(t, `
		p0 write 1 0..10
		p1 write 2 5..15
		p2 read = 2 20..30
		p0 write 3 25..90
		p2 read = 1 40..50`)
	r := Linearizable("register", Options{}).Check(t.Context(), h)
	if r.Verdict != Invalid || len(r.Counterexamples) != 1 {
		t.Fatalf("%s: %s", r.Verdict, r.Reason)
	}
	cx := r.Counterexamples[0]
	got, err := json.Marshal(cx.Edges)
	if err != nil {
		t.Fatal(err)
	}
	const want = `[` +
		`{"from":0,"to":2,"kind":"real-time",` +
		`"why":"write(1) returned at 0.010 s, before read() = 2 was called at 0.020 s"},` +
		`{"from":1,"to":2,"kind":"real-time",` +
		`"why":"write(2) returned at 0.015 s, before read() = 2 was called at 0.020 s"},` +
		`{"from":2,"to":3,"kind":"program-order",` +
		`"why":"read() = 2 returned at 0.030 s, before read() = 1 was called at 0.040 s"},` +
		`{"from":1,"to":2,"kind":"read-from","why":"read() = 2 saw what write(2) made"},` +
		`{"from":0,"to":3,"kind":"read-from","why":"read() = 1 saw what write(1) made"},` +
		`{"from":0,"to":1,"kind":"write-order",` +
		`"why":"write(1) returned at 0.010 s, before read() = 2 was called at 0.020 s"},` +
		`{"from":1,"to":0,"kind":"write-order",` +
		`"why":"write(2) returned at 0.015 s, before read() = 1 was called at 0.040 s"}]`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if cx.Until != 50e6 {
		t.Errorf("certain at %d, want the return of the stale read", cx.Until)
	}
}

// TestForkEdges: two reads that miss each other's write contradict each other in a circle of
// four edges, and a read of what had failed is connected with it.
func TestForkEdges(t *testing.T) {
	fork := LongFork().Check(t.Context(), mustTimeline(t, `
		p0 txn [["w","x",1]] 0..10
		p1 txn [["w","y",1]] 0..10
		p2 txn [["r","x",null],["r","y",null]] = [["r","x",1],["r","y",null]] 20..30
		p3 txn [["r","x",null],["r","y",null]] = [["r","x",null],["r","y",1]] 20..30`))
	if len(fork.Counterexamples) != 1 || len(fork.Counterexamples[0].Edges) != 4 {
		t.Fatalf("%s: %+v", fork.Reason, fork.Counterexamples)
	}
	edges := fork.Counterexamples[0].Edges
	for i, e := range edges {
		if next := edges[(i+1)%len(edges)]; e.To != next.From {
			t.Errorf("no circle: %+v", edges)
		}
	}
	for _, op := range fork.Counterexamples[0].Ops {
		if op.Culprit {
			t.Errorf("%s is called the culprit of a circle", op.Describe)
		}
	}
	dirty := LongFork().Check(t.Context(), mustTimeline(t, `
		p0 txn [["w","x",1]] 0..10 fail
		p2 txn [["r","x",null]] = [["r","x",1]] 20..30`))
	if len(dirty.Counterexamples) != 1 || len(dirty.Counterexamples[0].Edges) != 1 {
		t.Fatalf("%s: %+v", dirty.Reason, dirty.Counterexamples)
	}
	cx := dirty.Counterexamples[0]
	if e := cx.Edges[0]; e.Kind != ReadFrom || cx.Ops[e.From].Type != "fail" || !cx.Ops[e.To].Culprit {
		t.Errorf("%+v of %+v", cx.Edges, cx.Ops)
	}
}
