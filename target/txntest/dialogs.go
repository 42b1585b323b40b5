// Package txntest drives transactions in simulations and judges, from what their
// clients saw, whether the promised isolation was kept.
//
// The transactions append unique elements to lists and read lists, as Elle's
// list-append workload does (Kingsbury and Alvaro, "Elle: inferring isolation
// anomalies from experimental observations", VLDB 2020): a list that was read
// tells the whole order of its versions, so that the dependencies between
// transactions need not be guessed.
package txntest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/sim"
)

// Mix says what transactions look like.
type Mix struct {
	// Lists is how many keys there are; default 4.
	Lists int
	// Fresh, if set, takes the keys for new ones every so many transactions.
	Fresh int
	// Steps is the greatest number of steps; default 4.
	Steps int
	// Registers adds steps that read and write so many registers of two values.
	// The judgment does not look at them.
	Registers int
	// Whole is the share of transactions that come in one request, Single of those
	// that are a single operation, Readers of those that only read, Aborted of those
	// that the client gives up.
	Whole, Single, Readers, Aborted float64
}

// Recorder makes dialogs and keeps what became of them.
type Recorder struct {
	Mix  Mix
	Txns []*Txn
	last int // element
	keys map[string]bool
	list []string // keys, in the order of their first use
}

// Txn is one transaction as its client saw it.
type Txn struct {
	Steps  []Step
	Invoke time.Duration
	// Return has no meaning while Outcome is Unknown.
	Return  time.Duration
	Outcome protocol.Outcome
	// Node was asked.
	Node protocol.NodeID

	rec         *Recorder
	whole, quit bool // at most one of them
	single      bool // whole, and one step
	id          uint64
	at          int
}

// Step appends an element to a list, or reads one.
type Step struct {
	Key string
	// Elem is appended; 0 for a read.
	Elem int
	// Read is what a read returned.
	Read []int

	register string // the value written to a register, "r" for a read of one
}

// New makes the dialog of a new transaction. n counts them.
func (r *Recorder) New(rng *rand.Rand, n int) sim.Dialog {
	t := &Txn{
		rec: r, Outcome: protocol.Unknown,
		whole: rng.Float64() < r.Mix.Whole, quit: rng.Float64() < r.Mix.Aborted,
	}
	t.single = r.Mix.Single > 0 && rng.Float64() < r.Mix.Single
	t.whole = t.whole || t.single
	t.quit = t.quit && !t.whole
	lists, most := r.Mix.Lists, r.Mix.Steps
	if lists == 0 {
		lists = 4
	}
	switch {
	case t.single:
		most = 1
	case most == 0:
		most = 4
	}
	reader := rng.Float64() < r.Mix.Readers
	for range 1 + rng.IntN(most) {
		if r.Mix.Registers > 0 && rng.IntN(3) == 0 {
			t.Steps = append(t.Steps, registerStep(rng, r.Mix.Registers, reader))
			continue
		}
		s := Step{Key: "l" + strconv.Itoa(rng.IntN(lists))}
		if r.Mix.Fresh > 0 {
			s.Key += "-" + strconv.Itoa(n/r.Mix.Fresh)
		}
		if !reader && rng.IntN(2) == 0 {
			r.last++
			s.Elem = r.last
		}
		if r.keys == nil {
			r.keys = map[string]bool{}
		}
		if !r.keys[s.Key] {
			r.keys[s.Key] = true
			r.list = append(r.list, s.Key)
		}
		t.Steps = append(t.Steps, s)
	}
	r.Txns = append(r.Txns, t)
	return t
}

func registerStep(rng *rand.Rand, registers int, reader bool) Step {
	s := Step{Key: "r" + strconv.Itoa(rng.IntN(registers)), register: "r"}
	if !reader && rng.IntN(2) == 0 {
		s.register = strconv.Itoa(rng.IntN(2))
	}
	return s
}

// lastKey is a list that every node has to be able to append to at the end.
const lastKey = "last"

// Final makes a transaction that writes, and those that read every list, in one
// request each.
func (r *Recorder) Final(*sim.Cluster) []func() sim.Dialog {
	const most = 50 // steps of one transaction
	r.list = append(r.list, lastKey)
	dialogs := []func() sim.Dialog{func() sim.Dialog {
		r.last++
		t := &Txn{rec: r, Outcome: protocol.Unknown, whole: true}
		t.Steps = []Step{{Key: lastKey, Elem: r.last}}
		r.Txns = append(r.Txns, t)
		return t
	}}
	for at := 0; at < len(r.list); at += most {
		keys := r.list[at:min(at+most, len(r.list))]
		dialogs = append(dialogs, func() sim.Dialog {
			t := &Txn{rec: r, Outcome: protocol.Unknown, whole: true}
			for _, key := range keys {
				t.Steps = append(t.Steps, Step{Key: key})
			}
			r.Txns = append(r.Txns, t)
			return t
		})
	}
	return dialogs
}

// Next conducts the transaction: begin, the steps, commit; or all in one request.
func (t *Txn) Next(_ *rand.Rand, last *sim.Op) (protocol.Request, bool) {
	if last == nil {
		if t.single {
			var r protocol.Request
			r.Object, r.F, r.Key, r.Value = t.Steps[0].request()
			return r, true
		}
		if t.whole {
			return protocol.Request{Object: "txn", F: "run", Value: t.value()}, true
		}
		return protocol.Request{Object: "txn", F: "begin"}, true
	}
	if t.at == 0 && t.Invoke == 0 {
		t.Invoke, t.Node = last.Invoke, last.Node
	}
	end := t.whole || last.Request.F == "commit" || last.Request.F == "abort"
	switch {
	case last.Outcome != protocol.OK, end:
		t.ended(last)
		return protocol.Request{}, false
	case last.Request.F == "begin":
		t.id, _ = strconv.ParseUint(last.Value, 10, 64)
	default:
		t.Steps[t.at].Read = elements(last.Value)
		t.at++
	}
	r := protocol.Request{Txn: t.id}
	switch {
	case t.at < len(t.Steps):
		s := t.Steps[t.at]
		r.Object, r.F, r.Key, r.Value = s.request()
	case t.quit:
		r.Object, r.F = "txn", "abort"
	default:
		r.Object, r.F = "txn", "commit"
	}
	return r, true
}

// ended settles the outcome. What failed before commit was sent has no effect,
// and neither has what the client gave up.
func (t *Txn) ended(last *sim.Op) {
	t.Return, t.Outcome = last.Return, protocol.Fail
	if t.whole || last.Request.F == "commit" {
		t.Outcome = last.Outcome
	}
	switch {
	case last.Outcome != protocol.OK || !t.whole:
	case t.single && t.Steps[0].Elem == 0:
		t.Steps[0].Read = elements(last.Value)
	case !t.single:
		t.parse(last.Value)
	}
}

func (s Step) request() (object, f, key, value string) {
	switch {
	case s.register == "r":
		return "register", "read", s.Key, ""
	case s.register != "":
		return "register", "write", s.Key, s.register
	case s.Elem != 0:
		return "list", "append", s.Key, strconv.Itoa(s.Elem)
	default:
		return "list", "read", s.Key, ""
	}
}

// value is the transaction as the value of txn.run.
func (t *Txn) value() string {
	var steps []kv.Step
	for _, s := range t.Steps {
		_, f, key, value := s.request()
		switch f {
		case "read":
			f, value = "r", "null"
		case "write":
			f = "w"
		}
		steps = append(steps, kv.Step{F: f, Key: key, Value: value})
	}
	return kv.FormatSteps(steps)
}

// parse fills in what the reads of a transaction in one request have found.
func (t *Txn) parse(value string) {
	steps, err := kv.ParseSteps(value)
	if err != nil || len(steps) != len(t.Steps) {
		return // the judgment will miss the reads of the final transaction
	}
	for i, s := range steps {
		if t.Steps[i].Elem == 0 {
			t.Steps[i].Read = elements(s.Value)
		}
	}
}

// elements are those of a list; an absent one has none.
func elements(value string) []int {
	xs := []int{}
	if json.Unmarshal([]byte(value), &xs) != nil || xs == nil {
		return []int{}
	}
	return xs
}

// String prints the transaction for people.
func (t *Txn) String() string {
	s := fmt.Sprintf("%v at %s [%v, %v]:", t.Outcome, t.Node, t.Invoke, t.Return)
	for _, st := range t.Steps {
		switch {
		case st.Elem != 0:
			s += fmt.Sprintf(" append(%s %d)", st.Key, st.Elem)
		default:
			s += fmt.Sprintf(" r(%s)=%v", st.Key, st.Read)
		}
	}
	return s
}
