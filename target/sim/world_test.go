package sim

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/target/protocol"
)

// wire follows every message from its Send to its Deliver, and every node's
// pauses and clock. Payloads of toys are unique.
type wire struct {
	t        *testing.T
	sent     map[string]time.Duration
	order    map[string]int
	arrived  map[string]int
	newest   map[protocol.NodeID]map[protocol.NodeID]int
	dropped  map[string]int // by reason
	overtook int
	slowest  time.Duration
	paused   map[protocol.NodeID]bool
	pauses   int
}

func newWire(t *testing.T) *wire {
	return &wire{
		t: t, sent: map[string]time.Duration{}, order: map[string]int{},
		arrived: map[string]int{}, dropped: map[string]int{},
		newest: map[protocol.NodeID]map[protocol.NodeID]int{}, paused: map[protocol.NodeID]bool{},
	}
}

func (w *wire) observe(c *Cluster, e *Event) {
	id := string(e.Node) + "<" + string(e.Peer) + " " + string(e.Payload)
	if e.Kind == Send || e.Kind == Drop {
		id = string(e.Peer) + "<" + string(e.Node) + " " + string(e.Payload)
	}
	if w.paused[e.Node] {
		switch e.Kind {
		case Tick, Deliver, Submit, Answer, Send:
			w.t.Errorf("%v at %s while it is paused", e.Kind, e.Node)
		}
	}
	switch e.Kind {
	case Send:
		w.sent[id], w.order[id] = c.Now(), len(w.order)
	case Drop:
		w.dropped[e.Text]++
	case Deliver:
		at, known := w.sent[id]
		if !known {
			w.t.Errorf("%s was never sent", id)
		}
		w.arrived[id]++
		w.slowest = max(w.slowest, c.Now()-at)
		from := w.newest[e.Node]
		if from == nil {
			from = map[protocol.NodeID]int{}
			w.newest[e.Node] = from
		}
		if w.order[id] < from[e.Peer] {
			w.overtook++
		}
		from[e.Peer] = max(from[e.Peer], w.order[id])
	case Pause:
		w.paused[e.Node] = true
		w.pauses++
	case Resume, Crash:
		w.paused[e.Node] = false
	}
}

func (w *wire) most() int {
	most := 0
	for _, n := range w.arrived {
		most = max(most, n)
	}
	return most
}

// TestNetwork switches one fault on at a time, and sees that it happens, and
// that nothing else does.
func TestNetwork(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name   string
		faults Faults
		// what must be seen, and must not be seen without the fault
		drops string
		dup   bool
		late  bool // more than a second
		mixed bool
	}{
		{name: "clean", faults: Faults{MinDelay: ms, MaxDelay: ms}},
		{name: "loss", faults: Faults{Loss: 0.2}, drops: "lost"},
		{name: "corrupt", faults: Faults{Corrupt: 0.2}, drops: "corrupt"},
		{name: "duplicate", faults: Faults{Duplicate: 0.3}, dup: true},
		{name: "reorder", faults: Faults{Reorder: 0.3}, mixed: true},
		{name: "replay", faults: Faults{Replay: 0.3}, dup: true, late: true, mixed: true},
		{name: "halves", faults: Faults{Kinds: []FaultKind{Halves}}, drops: "cut"},
		{name: "isolate", faults: Faults{Kinds: []FaultKind{Isolate}}, drops: "cut"},
		{name: "one-way", faults: Faults{Kinds: []FaultKind{OneWay}}, drops: "cut"},
		{name: "flaky", faults: Faults{Kinds: []FaultKind{Flaky}}, drops: "lost"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWire(t)
			f := c.faults
			f.MinDelay, f.MaxDelay = ms, ms
			_, err := Run(Options{
				Seed: 3, New: toys(nil), Generate: adds, Ops: 400, Faults: &f, Observe: w.observe,
			})
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]bool{c.drops: c.drops != ""}
			for _, why := range []string{"lost", "corrupt", "cut"} {
				if (w.dropped[why] > 0) != want[why] {
					t.Errorf("%d messages dropped: %s", w.dropped[why], why)
				}
			}
			if (w.most() > 1) != c.dup {
				t.Errorf("a message arrives %d times", w.most())
			}
			if (w.slowest > time.Second) != c.late {
				t.Errorf("a message takes %v", w.slowest)
			}
			if (w.overtook > 0) != c.mixed && !c.dup {
				t.Errorf("%d messages overtake others", w.overtook)
			}
		})
	}
}

// TestPause sees that a paused node does nothing while time goes on, and then
// handles what has piled up.
func TestPause(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	tr, err := Run(Options{
		Seed: 5, New: toys(nil), Generate: adds, Ops: 400, Observe: w.observe,
		Faults: &Faults{Kinds: []FaultKind{Stop, SlowDisk}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for id, at := range w.sent {
		if under := at > tr.Time-100*time.Millisecond; w.arrived[id] != 1 && !under {
			t.Fatalf("%s arrives %d times", id, w.arrived[id])
		}
	}
	if w.pauses < 5 || w.slowest < 100*time.Millisecond {
		t.Errorf("%d pauses, slowest message %v", w.pauses, w.slowest)
	}
}

// TestOneWayIsOneWay cuts one direction and sees the other go on.
func TestOneWayIsOneWay(t *testing.T) {
	t.Parallel()
	var c *Cluster
	got := map[protocol.NodeID]int{}
	_, err := Run(Options{
		Seed: 1, New: toys(nil), Generate: adds, Nodes: 2, Faults: &Faults{},
		Check: func(now *Cluster) error {
			if c == nil && now.Now() > time.Second {
				c = now
				c.cut(OneWay, time.Hour, func(from, to int) bool { return from == 0 && to == 1 })
			}
			return nil
		},
		Observe: func(now *Cluster, e *Event) {
			// What was under way when the cut came still arrives.
			if c != nil && !c.healed && e.Kind == Deliver && now.Now() > 1010*time.Millisecond {
				got[e.Node]++
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got["n2"] != 0 || got["n1"] == 0 {
		t.Errorf("n2 got %d messages over the cut link, n1 %d over the other", got["n2"], got["n1"])
	}
}

// TestPayloadIsOnlyLent shows that a machine which keeps a payload is found out.
func TestPayloadIsOnlyLent(t *testing.T) {
	t.Parallel()
	kept := map[*toy][]byte{}
	changed := 0
	_, err := Run(Options{Seed: 1, Generate: adds, New: toys(func(m *toy) {
		m.onStep = func(t *toy, msg protocol.Message) {
			kept[t] = msg.Payload
			if msg.Payload[0] != 'n' {
				panic("payload is not what was sent")
			}
		}
		m.onTick = func(t *toy) {
			if p := kept[t]; p != nil && p[0] != 'n' {
				changed++
			}
		}
	}), Faults: &Faults{}})
	if err != nil {
		t.Fatal(err)
	}
	if changed == 0 {
		t.Error("kept payloads did not change")
	}
}

func TestClock(t *testing.T) {
	t.Parallel()
	k := clock{local: 1000}
	if got := k.read(2 * time.Second); got != 1000+protocol.Time(2*time.Second) {
		t.Errorf("true rate: %d", got)
	}
	k.set(2*time.Second, -100_000, 0)
	if got := k.read(12*time.Second) - k.read(2*time.Second); got != protocol.Time(9*time.Second) {
		t.Errorf("10 %% slow: ten seconds take %d", got)
	}
	k.set(12*time.Second, 50_000, time.Minute)
	if got := k.read(12 * time.Second); got != 1000+protocol.Time(71*time.Second) {
		t.Errorf("jump of a minute: %d", got)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	now, last := time.Duration(0), k.read(12*time.Second)
	for now = 12 * time.Second; now < time.Minute; now += time.Duration(rng.IntN(5_000_000)) {
		if rng.IntN(50) == 0 {
			k.set(now, rng.Int64N(200_001)-100_000, time.Duration(rng.IntN(1000)))
		}
		if got := k.read(now); got < last {
			t.Fatalf("clock goes back from %d to %d", last, got)
		} else {
			last = got
		}
	}
}

// TestSwarmVaries sees every fault in some mixes and missing in others.
func TestSwarmVaries(t *testing.T) {
	t.Parallel()
	in := map[FaultKind]int{}
	lossy := 0
	const mixes = 200
	for seed := range uint64(mixes) {
		f := Swarm(rand.New(rand.NewPCG(seed, 0)))
		for _, k := range f.Kinds {
			in[k]++
		}
		if f.Loss > 0 {
			lossy++
		}
	}
	for _, k := range AllFaults() {
		if in[k] < mixes/4 || in[k] > mixes*3/4 {
			t.Errorf("%s is in %d of %d mixes", k, in[k], mixes)
		}
	}
	if lossy < mixes/4 || lossy > mixes*3/4 {
		t.Errorf("%d of %d mixes lose messages", lossy, mixes)
	}
}
