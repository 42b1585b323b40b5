package lock

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/paxos"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// TestScripts runs the scripts in testdata: commands in the order of a log, at two
// replicas. If it fails, run
//
//	go test ./target/lock -run TestScripts -rewrite
//
// and read the difference.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		s := &script{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s.out.Reset()
			s.run(t, d)
			if s.out.Len() == 0 {
				return "ok\n"
			}
			return s.out.String()
		})
	})
}

// replica is one node's store and warden.
type replica struct {
	id     string
	store  *kv.Store
	warden *Warden
}

type script struct {
	out      strings.Builder
	bugs     bug.Set
	slot     uint64
	n        map[string]uint64
	now      protocol.Time
	replicas []*replica
	last     kv.Command
	duties   []kv.Command
}

func (s *script) printf(format string, args ...any) { fmt.Fprintf(&s.out, format+"\n", args...) }

func (s *script) run(t *testing.T, d *datadriven.TestData) {
	switch d.Cmd {
	case "new":
		// Starts anew, with a planted bug if one is named.
		name := ""
		d.MaybeScanArgs(t, "bug", &name)
		bugs, err := bug.Parse(name, "lock")
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
		*s = script{bugs: bugs, n: map[string]uint64{}}
		for _, id := range []string{"n1", "n2"} {
			s.replicas = append(s.replicas, &replica{id: id, warden: NewWarden(bugs),
				store: kv.New(bugs, Mode(bugs).Extensions)})
		}
	case "acquire", "renew", "release", "write":
		// Puts a command of a node into the next slot: key, value. The leader is n1
		// if none is named; replicas named in without lag behind.
		// Example: acquire k 1000 by=n2 leader=n2
		s.command(t, d)
	case "again":
		// Puts a copy of the last release into the next slot.
		s.apply(d, s.last)
	case "tick":
		// Lets time go by and asks the wardens, of which one leads, what is due.
		// Example: tick 1s leader=n2
		by, err := time.ParseDuration(d.CmdArgs[0].Key)
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
		s.now += protocol.Time(by)
		leader := "n1"
		d.MaybeScanArgs(t, "leader", &leader)
		for _, r := range s.replicas {
			due := r.warden.Due(s.now, r.id == leader, r.store)
			for _, c := range due {
				s.printf("%s: %v", r.id, c)
			}
			s.duties = append(s.duties, due...)
		}
	case "duties":
		// Puts what was due into the log.
		for _, c := range s.duties {
			s.apply(d, c)
		}
		s.duties = nil
	case "restore":
		// Restores n2 from a snapshot of n1.
		store, err := kv.Decode(s.replicas[0].store.Encode(), s.bugs, Mode(s.bugs).Extensions)
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
		s.replicas[1].store = store
	case "read":
		// Reads the lock and what it guards, at both.
		for _, r := range s.replicas {
			key := d.CmdArgs[0].Key
			s.printf("%s: held by %s, guards %s", r.id,
				r.store.Read(protocol.Request{Object: kind, F: "read", Key: key}).Value,
				r.store.Read(protocol.Request{Object: fencedKind, F: "read", Key: key}).Value)
		}
	default:
		d.Fatalf(t, "unknown command %s", d.Cmd)
	}
}

func (s *script) command(t *testing.T, d *datadriven.TestData) {
	by, leader := "n1", "n1"
	d.MaybeScanArgs(t, "by", &by)
	d.MaybeScanArgs(t, "leader", &leader)
	s.n[by]++
	r := protocol.Request{Object: kind, F: d.Cmd, Key: d.CmdArgs[0].Key, Value: d.CmdArgs[1].Key}
	if d.Cmd == "write" {
		r.Object, r.Value = fencedKind, fmt.Sprintf("[%s,%s]", d.CmdArgs[1].Key, d.CmdArgs[2].Key)
	}
	if refusal, fine := s.replicas[0].store.Check(r); !fine {
		s.printf("refused: %v %s", refusal.Code, refusal.Error)
		return
	}
	// Low is that of a node which has nothing else in flight.
	c := kv.Of(r, kv.Origin{Node: protocol.NodeID(by), Epoch: 1, N: s.n[by], Low: s.n[by]})
	for _, r := range s.replicas {
		if r.id == leader {
			c = r.warden.Stamp(paxos.Ballot{Round: 1, Node: protocol.NodeID(leader)}, c)
		}
	}
	if d.Cmd == "release" {
		s.last = c
	}
	s.apply(d, c)
}

func (s *script) apply(d *datadriven.TestData, c kv.Command) {
	s.slot++
	var without []string
	for _, a := range d.CmdArgs {
		if a.Key == "without" {
			without = a.Vals
		}
	}
	for i, r := range s.replicas {
		if slices.Contains(without, r.id) {
			continue
		}
		got := r.store.Apply(s.slot, c)
		settled := r.store.Settled()
		if i > 0 && !slices.Contains(without, s.replicas[0].id) {
			continue // the same as n1
		}
		switch {
		case got.Outcome == kv.Pending:
			s.printf("slot %d: waits", s.slot)
		case c.Kind == kv.Op:
			s.printf("slot %d: %v %s%s", s.slot, got.Outcome, got.Value, got.Code)
		}
		for _, x := range settled {
			s.printf("slot %d settles %s's: %v %s%s", s.slot, x.Origin.Node,
				x.Result.Outcome, x.Result.Value, x.Result.Code)
		}
	}
}
