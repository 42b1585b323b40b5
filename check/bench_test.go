package check

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ordeal-dev/ordeal/history"
)

// BenchmarkUnknown measures what unanswered operations cost when there is a
// violation, which is when they cost most: a register with a stale read at the end
// and k writes that nobody ever saw, by the engines of this package, and by Porcupine
// with and without pruning.
func BenchmarkUnknown(b *testing.B) {
	for _, k := range []int{0, 2, 4, 6, 8} {
		h := mustTimeline(b, staleWithUnknown(k))
		for _, bb := range []struct {
			name string
			o    Options
		}{
			{"auto", Options{}},
			{"frontier", Options{Engine: "frontier"}},
			{"porcupine pruned", Options{Engine: "porcupine"}},
			{"porcupine", Options{Engine: "porcupine", KeepUnknown: true}},
		} {
			b.Run(fmt.Sprintf("k=%d/%s", k, bb.name), func(b *testing.B) {
				c := Linearizable("register", bb.o)
				l, ok := c.(*linearizable)
				if !ok {
					b.Fatalf("a %T", c)
				}
				for b.Loop() {
					objects, err := l.objects(h)
					if err != nil {
						b.Fatal(err)
					}
					g := newGuard(l.o.Memory)
					l.decideAll(b.Context(), l.planner(g), objects)
					g.close()
					if got := objects[0].finding.answer; got != illegal {
						b.Fatalf("answer %v, want illegal", got)
					}
				}
			})
		}
	}
}

// staleWithUnknown is a history in the notation of the tests: two processes write
// and read in turn, a third one's k writes are never answered, and the last read
// is stale.
func staleWithUnknown(k int) string {
	var b strings.Builder
	const rounds = 60
	for i := range rounds {
		at := 20 * i
		fmt.Fprintf(&b, "p0 write %d %d..%d\n", i, at, at+12)
		fmt.Fprintf(&b, "p1 read = %d %d..%d\n", i, at+13, at+18)
		if i > 0 && i <= k {
			fmt.Fprintf(&b, "p%d write %d %d..?\n", 100+i, 1000+i, at+1)
		}
	}
	fmt.Fprintf(&b, "p1 read = %d %d..%d\n", rounds-2, 20*rounds, 20*rounds+5)
	return b.String()
}

// BenchmarkEtcd decides the 102 histories of etcd that come with Porcupine; what it
// takes to parse them is not counted. They are like the keys of one check, except for
// "each alone", which begins with nothing for each.
func BenchmarkEtcd(b *testing.B) {
	dir := filepath.Join(porcupineData(b), "jepsen")
	const eachAlone = "each alone"
	for _, name := range []string{
		engineAuto, eachAlone, engineFrontier, engineDepth, enginePorcupine,
	} {
		engine, alone := name, name == eachAlone
		if alone {
			engine = engineAuto
		}
		b.Run(name, func(b *testing.B) {
			l := Linearizable("cas-register", Options{
				Refusals: true, Engine: engine, KeepUnknown: true,
			}).(*linearizable)
			var objects []*object
			for i := range 103 {
				if i == 95 {
					continue // there is none
				}
				h, err := loadEtcd(filepath.Join(dir, fmt.Sprintf("etcd_%03d.log", i)))
				if err != nil {
					b.Fatal(err)
				}
				o, err := l.objects(h)
				if err != nil {
					b.Fatal(err)
				}
				objects = append(objects, o...)
			}
			p := idlePlanner(l, engine)
			p.raw = true
			b.ReportAllocs()
			for b.Loop() {
				for _, o := range objects {
					if alone {
						p.desks = new(sync.Pool)
					}
					if f := p.decide(b.Context(), o.all, false); f.answer == undecided {
						b.Fatalf("key %q is undecided", o.key)
					}
				}
			}
		})
	}
}

// BenchmarkWatch measures what watching costs for each event: transactions of ten clients on
// ten groups of lists, each group with 120 of them, and a look after each hundred events, as
// at a thousand events a second.
func BenchmarkWatch(b *testing.B) {
	events := listsHappen(rand.New(rand.NewPCG(5, 5)), 100_000, 10, 120)
	b.ReportAllocs()
	for b.Loop() {
		m := Recheck(ListAppend(TxnOptions{}))
		for i, e := range events {
			m.Observe(e)
			if i%100 > 0 {
				continue
			}
			if found, bad := m.Look(b.Context(), e.Time); bad {
				b.Fatalf("%+v", found)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed())/float64(b.N*len(events)), "ns/event")
}

// listsHappen makes events of serial transactions, each of up to four reads and appends of
// the five lists of a group. There are as many groups at any time as clients, and each has a
// number of transactions.
func listsHappen(r *rand.Rand, n, clients, each int) []history.Event {
	type group struct {
		key   history.Key
		lists [5][]int64
		left  int
	}
	groups := make([]group, clients)
	open := make([]*history.Event, clients)
	var events []history.Event
	made, next := 0, int64(0)
	for len(events) < n {
		p := r.IntN(clients)
		e := history.Event{
			Index: int64(len(events)), Time: history.Time(len(events)) * 1e6, F: "txn",
			Process: history.Process(p), Type: history.Invoke,
		}
		if open[p] != nil {
			done := *open[p]
			done.Index, done.Time, done.Type = e.Index, e.Time, history.OK
			events, open[p] = append(events, done), nil
			continue
		}
		g := &groups[r.IntN(clients)]
		if g.left == 0 {
			made++
			*g = group{key: history.Key(fmt.Sprintf("g%d", made)), left: each}
		}
		g.left--
		var in, out []history.Step
		for range 1 + r.IntN(4) {
			k := r.IntN(len(g.lists))
			s := history.Step{F: history.StepRead, Key: history.Key(fmt.Sprintf("%s.%d", g.key, k))}
			result := s
			if r.IntN(2) == 0 {
				next++
				s.F, s.Value = history.StepAppend, history.Int(next)
				result = s
				g.lists[k] = append(g.lists[k], next)
			} else {
				result.Value = history.Ints(g.lists[k]...)
			}
			in, out = append(in, s), append(out, result)
		}
		e.Key, e.Value = g.key, history.Steps(in...)
		events = append(events, e)
		e.Value = history.Steps(out...)
		open[p] = &e
	}
	return events
}
