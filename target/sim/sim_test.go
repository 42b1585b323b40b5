package sim

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/internal/longtest"
	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// adds generates additions to a counter, and now and then a read.
func adds(rng *rand.Rand, _ int) protocol.Request {
	if rng.IntN(8) == 0 {
		return protocol.Request{Object: "counter", F: "read", Key: "c"}
	}
	return protocol.Request{Object: "counter", F: "add", Key: "c", Value: "1"}
}

// toys makes toy machines that change makes misbehave.
func toys(change func(*toy)) Factory {
	return func(cfg protocol.Config) (protocol.Machine, error) {
		t, err := newToy(cfg)
		if err == nil && change != nil {
			change(t)
		}
		return t, err
	}
}

func TestSameSeedSameTrace(t *testing.T) {
	t.Parallel()
	seen := map[uint64]uint64{}
	for seed := range uint64(60) {
		var first *Trace
		for range 3 {
			tr, err := Run(Options{Seed: seed, New: toys(nil), Generate: adds, Ops: 60})
			if err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = tr
			}
			if tr.Hash != first.Hash || tr.Events != first.Events ||
				!slices.Equal(tr.Tail, first.Tail) {
				t.Fatalf("seed %d: hash %x, then %x", seed, first.Hash, tr.Hash)
			}
		}
		if other, dup := seen[first.Hash]; dup {
			t.Errorf("seeds %d and %d have the same trace", seed, other)
		}
		seen[first.Hash] = seed
	}
}

// TestContract shows that the simulation holds machines to package protocol.
func TestContract(t *testing.T) {
	submit := func(f func(*toy, protocol.Request)) func(*toy) {
		return func(t *toy) {
			t.onSubmit = func(t *toy, r protocol.Request) bool { f(t, r); return true }
		}
	}
	message := func(m protocol.Message) func(*toy) {
		return func(t *toy) {
			t.onTick = func(t *toy) { t.out.Messages = append(t.out.Messages, m) }
		}
	}
	for _, c := range []struct {
		name, want string
		change     func(*toy)
	}{
		{name: "never replies", want: "has no reply after its timeout",
			change: submit(func(*toy, protocol.Request) {})},
		{name: "replies twice", want: "second reply to request",
			change: submit(func(t *toy, r protocol.Request) {
				t.reply(r, protocol.OK, "1")
				t.reply(r, protocol.OK, "1")
			})},
		{name: "replies to nobody", want: "which it never got",
			change: submit(func(t *toy, r protocol.Request) {
				t.reply(protocol.Request{ID: r.ID + 1000}, protocol.OK, "1")
			})},
		{name: "never succeeds", want: "not alive 20s after all faults ended",
			change: submit(func(t *toy, r protocol.Request) { t.reply(r, protocol.Fail, "") })},
		{name: "talks to a stranger", want: `message to "n9", who is no member`,
			change: message(protocol.Message{To: "n9"})},
		{name: "forges", want: "message in the name of nx",
			change: message(protocol.Message{From: "nx", To: "n1"})},
		{name: "talks too much", want: "payload of 60001 bytes does not fit",
			change: message(protocol.Message{To: "n1", Payload: make([]byte, 60_001)})},
		{name: "panics", want: "panic: over",
			change: submit(func(*toy, protocol.Request) { panic("over") })},
		{name: "cannot restart", want: "in epoch 2: no way"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			opts := Options{Seed: 7, New: toys(c.change), Generate: adds, Ops: 50,
				Faults: &Faults{Kinds: []FaultKind{Kill}}}
			if c.change == nil {
				opts.New = func(cfg protocol.Config) (protocol.Machine, error) {
					if cfg.Epoch == 2 {
						return nil, errors.New("no way")
					}
					return newToy(cfg)
				}
			}
			_, err := Run(opts)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Run = %v, want an error with %q", err, c.want)
			}
		})
	}
}

// TestFailureTellsTheStory shows what a failing check leaves for people.
func TestFailureTellsTheStory(t *testing.T) {
	boom := errors.New("boom")
	opts := Options{
		Seed: 42, New: toys(nil), Generate: adds, Tail: 25, Faults: &Faults{},
		Check: func(c *Cluster) error {
			if c.Now() > time.Second {
				return boom
			}
			return nil
		},
	}
	tr, err := Run(opts)
	var f *Failure
	if !errors.As(err, &f) || !errors.Is(err, boom) {
		t.Fatalf("Run = %v, want a Failure of the check", err)
	}
	if f.Seed != 42 || f.Step == 0 || len(f.Tail) != 25 || !slices.Equal(f.Tail, tr.Tail) {
		t.Errorf("failure %+v", f)
	}
	for _, want := range []string{"seed 42, step ", ": boom", "last events:", "tick", "#"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q: %v", want, err)
		}
	}
	_, again := Run(opts)
	if again == nil || again.Error() != err.Error() {
		t.Errorf("the second run fails otherwise: %v", again)
	}
}

// losses runs toys on crashing nodes and compares what they recover with what
// they were told is durable: what was replied is there.
type losses struct {
	acked    map[protocol.NodeID]int // additions whose reply has left
	lost     error
	partial  int // crashes that left a part of a Ready
	restarts int
}

func (l *losses) observe(c *Cluster, e *Event) {
	switch e.Kind {
	case Answer:
		l.acked[e.Node] = max(l.acked[e.Node], c.Node(e.Node).Machine().(*toy).total)
	case Persist:
		if n := len(e.Records); n > 0 && e.Checkpoint == nil && n%3 != 0 {
			l.partial++
		}
	case Start:
		if e.Epoch > 1 {
			l.restarts++
		}
		if got := c.Node(e.Node).Machine().(*toy).total; got < l.acked[e.Node] && l.lost == nil {
			l.lost = fmt.Errorf("%s comes back with %d of %d", e.Node, got, l.acked[e.Node])
		}
	}
}

// TestDisk crashes nodes at every point of their Readies. The toy itself refuses
// to start from records with a gap or from a torn checkpoint.
func TestDisk(t *testing.T) {
	t.Parallel()
	var sum losses
	seeds := longtest.Of(30, 300)
	for seed := range uint64(seeds) {
		l := &losses{acked: map[protocol.NodeID]int{}}
		tr, err := Run(Options{
			Seed: seed, New: toys(nil), Generate: adds, Observe: l.observe,
			Check:  func(*Cluster) error { return l.lost },
			Faults: &Faults{Kinds: []FaultKind{Kill, KillInside, KillAll}, Every: 100 * time.Millisecond},
		})
		if err != nil {
			t.Fatal(err)
		}
		if tr.Injected[KillInside] == 0 {
			t.Errorf("seed %d: nobody was killed inside a Ready: %v", seed, tr.Injected)
		}
		sum.partial += l.partial
		sum.restarts += l.restarts
	}
	t.Logf("%d restarts, %d times a part of a Ready was durable", sum.restarts, sum.partial)
	if sum.partial < seeds/3 || sum.restarts < 10*seeds {
		t.Error("too few crashes inside a Ready")
	}
}

// TestDiskWithoutSync shows that a power cut forgets what was not synced.
func TestDiskWithoutSync(t *testing.T) {
	t.Parallel()
	lost := 0
	for seed := range uint64(50) {
		l := &losses{acked: map[protocol.NodeID]int{}}
		_, err := Run(Options{
			Seed: seed, New: toys(nil), Generate: adds, Observe: l.observe,
			Bugs: bug.Set{bug.NoFsync: true}, Faults: &Faults{Kinds: []FaultKind{Kill}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if l.lost != nil {
			lost++
		}
	}
	if lost < 45 {
		t.Errorf("only %d of 50 runs lost something", lost)
	}
}

// TestSessions repeats requests whose outcome is unknown: with one node and its
// session table each addition counts once.
func TestSessions(t *testing.T) {
	t.Parallel()
	repeated := 0
	for seed := range uint64(100) {
		tr, err := Run(Options{
			Seed: seed, New: toys(nil), Generate: adds, Nodes: 1, Sessions: true,
			Faults: &Faults{Kinds: []FaultKind{Kill, KillInside, Stop}, Every: 200 * time.Millisecond},
			AtEnd: []func(*Cluster) error{func(c *Cluster) error {
				least, most := 0, 0
				for _, op := range c.Ops() {
					if op.Request.F != "add" {
						continue
					}
					if op.Outcome != protocol.Fail {
						most++
					}
					if op.Outcome == protocol.OK {
						least++
					}
				}
				got := c.Nodes()[0].Machine().(*toy).total
				if got < least || got > most {
					return fmt.Errorf("%d additions counted, want %d to %d", got, least, most)
				}
				return nil
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, op := range tr.Ops {
			if len(op.Attempts) > 1 && op.Outcome == protocol.OK {
				repeated++
			}
		}
	}
	if repeated < 50 {
		t.Errorf("only %d operations were repeated with success", repeated)
	}
}

func TestSweepReturnsTheLowest(t *testing.T) {
	t.Parallel()
	for range 100 {
		err := Sweep(10, 1000, func(seed uint64) error {
			if seed >= 37 {
				return fmt.Errorf("seed %d", seed)
			}
			return nil
		})
		if err == nil || err.Error() != "seed 37" {
			t.Fatalf("Sweep = %v, want seed 37", err)
		}
	}
	if err := Sweep(0, 10, func(uint64) error { return nil }); err != nil {
		t.Error(err)
	}
}
