package txntest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/target/protocol"
)

// txn reads "x+1 y=1,2 y=": append 1 to x, then y read as [1 2], then as empty.
func txn(call, ret int, outcome protocol.Outcome, steps string) *Txn {
	t := &Txn{Invoke: time.Duration(call), Return: time.Duration(ret), Outcome: outcome}
	for _, s := range strings.Fields(steps) {
		if key, elem, ok := strings.Cut(s, "+"); ok {
			st := Step{Key: key}
			fmt.Sscan(elem, &st.Elem)
			t.Steps = append(t.Steps, st)
			continue
		}
		key, list, _ := strings.Cut(s, "=")
		t.Steps = append(t.Steps, Step{Key: key, Read: elements("[" + list + "]")})
	}
	return t
}

func TestJudge(t *testing.T) {
	ok := func(call, ret int, steps string) *Txn { return txn(call, ret, protocol.OK, steps) }
	unknown := func(call int, steps string) *Txn { return txn(call, 0, protocol.Unknown, steps) }
	failed := func(call, ret int, steps string) *Txn { return txn(call, ret, protocol.Fail, steps) }
	for _, c := range []struct {
		name             string
		si, serializable string // part of the complaint; "" for none
		txns             []*Txn
	}{
		{name: "empty"},
		{name: "in a row", txns: []*Txn{ok(1, 2, "x+1"), ok(3, 4, "x+2 x=1,2"), ok(5, 6, "x=1,2")}},
		{name: "unknown is seen", txns: []*Txn{unknown(1, "x+1"), ok(3, 4, "x="), ok(5, 6, "x=1")}},
		{name: "unknown is never seen", txns: []*Txn{unknown(1, "x+1"), ok(3, 4, "x=")}},
		{name: "failed is never seen", txns: []*Txn{failed(1, 2, "x+1"), ok(3, 4, "x=")}},
		{name: "concurrent, unseen", txns: []*Txn{ok(1, 9, "x+1"), ok(3, 4, "x="), ok(10, 11, "x=1")}},
		{name: "failed is seen", si: "G1a", serializable: "G1a",
			txns: []*Txn{failed(1, 2, "x+1"), ok(3, 4, "x=1")}},
		{name: "from nowhere", si: "nobody", serializable: "nobody", txns: []*Txn{ok(3, 4, "x=1")}},
		{name: "middle of a transaction", si: "G1b", serializable: "G1b",
			txns: []*Txn{ok(1, 2, "x+1 x+2"), ok(1, 4, "x=1"), ok(5, 6, "x=1,2")}},
		{name: "torn apart", si: "torn", serializable: "torn",
			txns: []*Txn{ok(1, 2, "x+1 x+2"), ok(1, 4, "x+3"), ok(5, 6, "x=1,3,2")}},
		{name: "not itself", si: "internal", serializable: "internal",
			txns: []*Txn{ok(1, 2, "x+1 x=")}},
		{name: "two snapshots", si: "internal", serializable: "internal",
			txns: []*Txn{ok(1, 9, "x= x=1"), ok(2, 3, "x+1")}},
		{name: "two orders", si: "incompatible", serializable: "incompatible",
			txns: []*Txn{ok(1, 9, "x+1"), ok(1, 9, "x+2"), ok(1, 9, "x=1,2"), ok(1, 9, "x=2")}},
		{name: "lost", si: "lost", serializable: "lost",
			txns: []*Txn{ok(1, 2, "x+1"), ok(3, 4, "x=")}},
		{name: "twice", si: "twice", serializable: "twice",
			txns: []*Txn{ok(1, 2, "x+1"), ok(3, 4, "x=1,1")}},
		{name: "lost update", si: "cycle", serializable: "cycle",
			txns: []*Txn{ok(1, 9, "x= x+1"), ok(1, 9, "x= x+2"), ok(10, 11, "x=1,2")}},
		{name: "read skew", si: "cycle", serializable: "cycle",
			txns: []*Txn{ok(1, 9, "x+1 y+2"), ok(1, 9, "x=1 y="), ok(10, 11, "y=2")}},
		{name: "stale snapshot", si: "cycle", serializable: "cycle",
			txns: []*Txn{ok(1, 2, "x+1"), ok(1, 9, "x=1"), ok(3, 4, "x+2"), ok(5, 6, "x=1"),
				ok(10, 11, "x=1,2")}},
		{name: "long fork", si: "cycle", serializable: "cycle",
			txns: []*Txn{ok(1, 20, "x+1"), ok(1, 20, "y+2"), ok(1, 20, "x=1 y="), ok(1, 20, "x= y=2")}},
		{name: "write skew", serializable: "cycle",
			txns: []*Txn{ok(1, 9, "x= y+1"), ok(1, 9, "y= x+2"), ok(10, 11, "x=2 y=1")}},
		{name: "write skew, one after the other", si: "cycle", serializable: "cycle",
			txns: []*Txn{ok(1, 2, "x= y+1"), ok(3, 9, "y= x+2"), ok(10, 11, "x=2 y=1")}},
		{name: "write skew, one unknown and unseen",
			txns: []*Txn{ok(1, 9, "x= y+1"), unknown(1, "y= x+2"), ok(10, 11, "x= y=1")}},
		// Fekete, O'Neil, O'Neil 2004: the reader sees 2 without 1, although 1 comes
		// before 2 by what it has read.
		{name: "read-only anomaly", serializable: "cycle",
			txns: []*Txn{ok(1, 9, "x= y= y+1"), ok(2, 3, "x+2"), ok(4, 5, "x=2 y="),
				ok(10, 11, "x=2 y=1")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for level, want := range []string{
				SnapshotIsolation: c.si, Serializable: c.serializable,
			} {
				err := (&Recorder{Txns: c.txns}).Judge(Level(level))
				if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
					t.Errorf("level %d: %v, want %q", level, err, want)
				}
			}
		})
	}
}
