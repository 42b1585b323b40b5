package check

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/ordeal-dev/ordeal/history"
)

// BankOptions refine Bank.
type BankOptions struct {
	// NoOverdraft demands that no balance is ever negative.
	NoOverdraft bool
	// Stale says that no real-time order is claimed: the balances of one read
	// need to fit each other only.
	Stale bool

	_ struct{} // keyed literals only
}

// BankDetails are the Details of Bank.
type BankDetails struct {
	Banks     int `json:"banks"`
	Transfers int `json:"transfers"`
	Reads     int `json:"reads"`
	// Unopened reads found no account yet.
	Unopened int `json:"unopened"`
	// The reads that were wrong: their total, a balance below zero, accounts that
	// should have been there, a balance that no choice of transfers explains.
	WrongTotal  int `json:"wrongTotal"`
	Negative    int `json:"negative"`
	Missing     int `json:"missing"`
	Unexplained int `json:"unexplained"`
}

// Bank checks groups of accounts, as Jepsen's bank does. One transaction of a group
// opens it, by adding to all accounts; after that, transfers add to one what they
// take from another. In every transaction that reads all accounts the total is what
// the opening put in, or nothing is there at all because it has not happened yet.
//
// Unless o.Stale is set, every balance also has to be explained by the transfers:
// those acknowledged before the read was called have happened, once, and only those
// called before it returned can have. That is how a transfer shows which was lost as
// a whole, or happened twice.
func Bank(o BankOptions) Checker {
	return CheckerFunc(func(ctx context.Context, h *history.History) Result {
		return bankCheck(ctx, h, o)
	})
}

const bankName = "bank"

func bankCheck(ctx context.Context, h *history.History, o BankOptions) Result {
	r := Result{Name: bankName}
	b := bank{o: o}
	for key, ops := range h.ByKey() {
		if r, stop := interrupted(ctx, bankName); stop {
			return r
		}
		txns, err := parseTxns(ops)
		if err == nil {
			err = b.group(key, txns)
		}
		if err != nil {
			return Result{Name: bankName, Verdict: Unknown, Reason: err.Error()}
		}
	}
	d := &b.d
	r.Details = *d
	r.Power = []Measure{measure("banks", d.Banks), measure("transfers", d.Transfers),
		measure("reads", d.Reads), measure("reads before the opening", d.Unopened)}
	explainedFirst(b.bad.cxs)
	b.bad.settle(&r, fmt.Sprintf("of %s, %s", count(d.Reads, "read", "reads"), tallies(
		tally{d.WrongTotal, "with a wrong total"}, tally{d.Negative, "with a negative balance"},
		tally{d.Missing, "with accounts missing"},
		tally{d.Unexplained, "with a balance that no transfers explain"})),
		func() (Verdict, string) {
			if d.Reads-d.Unopened == 0 || d.Transfers == 0 {
				return Unknown, "nothing was shown: no bank was read after it had been opened, " +
					"or nothing was transferred"
			}
			return Valid, fmt.Sprintf("the total is right in %s", count(d.Reads, "read", "reads"))
		})
	return r
}

type bank struct {
	o   BankOptions
	d   BankDetails
	bad violations
}

// group judges one bank.
func (b *bank) group(key history.Key, txns []txn) error {
	b.d.Banks++
	keys := groupKeys(txns)
	var opening *txn
	var total int64
	adds, failed := make(map[history.Key][]amount), make(map[history.Key][]amount)
	for i := range txns {
		t := &txns[i]
		if t.readOnly() {
			continue
		}
		to := adds
		if t.op.Type == history.Fail {
			to = failed
		}
		sum, err := t.collectAdds(to)
		if err != nil {
			return misfit(t.op, "a bank", err)
		}
		switch {
		case sum == 0:
			b.d.Transfers++
		case opening != nil:
			return misfit(t.op, "a bank", fmt.Errorf("it was opened twice"))
		default:
			opening, total = t, sum
		}
	}
	reads := make(map[history.Key][]CounterRead)
	for _, t := range txns {
		if !t.readOnly() || !t.ok() || len(t.steps) < len(keys) {
			continue
		}
		b.d.Reads++
		fine, err := b.read(key, t, opening, total, txns)
		if err != nil {
			return misfit(t.op, "a bank", err)
		}
		for _, s := range t.steps {
			n, isInt := s.Value.AsInt()
			if fine && isInt {
				reads[s.Key] = append(reads[s.Key], CounterRead{Key: s.Key, Value: n, source: t.op})
			}
		}
	}
	if !b.o.Stale {
		b.explain(key, adds, failed, reads)
	}
	return nil
}

// collectAdds files what the transaction adds to each account, and returns the sum.
func (t *txn) collectAdds(adds map[history.Key][]amount) (int64, error) {
	var sum int64
	for _, s := range t.steps {
		n, isInt := s.Value.AsInt()
		switch {
		case s.F == history.StepRead:
			continue
		case s.F != history.StepAdd || !isInt:
			return 0, fmt.Errorf("there are only reads and adds of integers")
		}
		sum += n
		adds[s.Key] = append(adds[s.Key], amount{t.op, n})
	}
	return sum, nil
}

// read judges one read of all accounts. It reports whether its balances are worth
// explaining.
func (b *bank) read(
	key history.Key, t txn, opening *txn, total int64, txns []txn,
) (bool, error) {
	var sum int64
	missing := 0
	var lacking []string
	for _, s := range t.steps {
		n, isInt := s.Value.AsInt()
		if !isInt && !s.Value.IsNil() {
			return false, fmt.Errorf("the balance of %s is %s", s.Key, s.Value)
		}
		if !isInt {
			missing++
			lacking = append(lacking, string(s.Key))
		}
		if sum += n; n < 0 && b.o.NoOverdraft {
			b.d.Negative++
			b.bad.add(key, "below zero",
				fmt.Sprintf("Process %d read a balance of %d on %s at %s.",
					t.op.Process, n, s.Key, seconds(t.op.Return)), t.op)
			return false, nil
		}
	}
	opened := opening != nil && opening.op.Type != history.Fail && opening.op.Call <= t.op.Return
	late := opening != nil && opening.ok() && opening.op.Return < t.op.Call && !b.o.Stale
	switch {
	case missing == len(t.steps) && !late:
		b.d.Unopened++
		return false, nil
	case missing == len(t.steps):
		b.d.Missing++
		b.bad.add(key, "misses the accounts",
			fmt.Sprintf("Process %d found no accounts at %s, although their opening "+
				"had been acknowledged at %s.%s", t.op.Process, seconds(t.op.Return),
				seconds(opening.op.Return), foundLater(txns, t)), opening.op, t.op)
		return false, nil
	case !opened:
		b.d.WrongTotal++
		b.bad.add(key, "another total",
			fmt.Sprintf("Process %d read a total of %d at %s, but the accounts had "+
				"not been opened.", t.op.Process, sum, seconds(t.op.Return)), t.op)
		return false, nil
	case sum != total || missing > 0:
		b.d.WrongTotal++
		half := halfOpened(opening, t)
		why := fmt.Sprintf("Process %d read a total of %d at %s; it has to be %d always.%s",
			t.op.Process, sum, seconds(t.op.Return), total, unseenBalances(lacking)+half)
		if half != "" {
			b.bad.show(func() Counterexample { return halfCounterexample(key, why, opening.op, t.op) })
			return false, nil
		}
		part := partly(txns, t, sum-total)
		if missing > 0 || part == nil {
			b.bad.add(key, "another total", why, opening.op, t.op)
			return false, nil
		}
		b.bad.show(func() Counterexample {
			return partCounterexample(key, why, opening.op, part, t.op, sum-total)
		})
		return false, nil
	}
	return true, nil
}

// partly is a transfer of which a part alone, or a part once more, makes a difference in the
// total: rather one whose outcome is unknown, then one that was open beside the read, then the
// last before it; nil if there is none.
func partly(txns []txn, read txn, difference int64) *history.Operation {
	var best *history.Operation
	rank := func(op *history.Operation) int {
		switch {
		case op.Type == history.Info:
			return 0
		case op.Return >= read.op.Call:
			return 1
		}
		return 2
	}
	for i := range txns {
		t := &txns[i]
		moves := slices.ContainsFunc(t.steps, func(s history.Step) bool {
			n, isInt := s.Value.AsInt()
			return s.F == history.StepAdd && isInt && (n == difference || n == -difference)
		})
		if !moves || len(t.steps) != 2 || t.op.Type == history.Fail || t.op.Call > read.op.Return {
			continue
		}
		if best == nil || rank(t.op) < rank(best) || rank(t.op) == rank(best) && t.op.Call > best.Call {
			best = t.op
		}
	}
	return best
}

// partCounterexample shows a wrong total with a transfer that may be why.
func partCounterexample(
	key history.Key, why string, opening, part, read *history.Operation, difference int64,
) Counterexample {
	became := "acknowledged at " + seconds(part.Return)
	if part.Type == history.Info {
		became = "outcome unknown"
	}
	why += fmt.Sprintf(" One half of a transfer makes the difference of %d: such as that of "+
		"process %d, called at %s (%s).", max(difference, -difference), part.Process,
		seconds(part.Call), became)
	cx := counterexample(key, "another total", why, opening, part, read)
	cx.Minimal = false
	for i := range cx.Ops {
		if op := &cx.Ops[i]; op.Index == part.Index {
			op.Missed, op.Note = true, "one half of it makes the difference"
		}
	}
	return cx
}

// foundLater says whether anybody who read after a read found what it did not find.
func foundLater(txns []txn, read txn) string {
	var again *history.Operation
	later := 0
	for i := range txns {
		t := &txns[i]
		if !t.readOnly() || !t.ok() || t.op.Call <= read.op.Return {
			continue
		}
		later++
		if (again == nil || t.op.Return < again.Return) && len(t.steps) > 0 &&
			!slices.ContainsFunc(t.steps, func(s history.Step) bool { return s.Value.IsNil() }) {
			again = t.op
		}
	}
	switch {
	case again != nil:
		return fmt.Sprintf(" It was stale: process %d found them at %s.", again.Process,
			seconds(again.Return))
	case later == 0:
		return " They are late or lost: no later read shows which."
	}
	return ""
}

// unseenBalances says which accounts a read did not find.
func unseenBalances(keys []string) string {
	if len(keys) == 0 {
		return ""
	}
	return fmt.Sprintf(" It found nothing in %s.", andList(keys))
}

// halfOpened says that a read saw of the opening only some accounts: they have what it put there.
func halfOpened(opening *txn, read txn) string {
	at := make(map[history.Key]history.Value)
	for _, s := range opening.steps {
		at[s.Key] = s.Value
	}
	var seen []string
	missing := false
	for _, s := range read.steps {
		missing = missing || s.Value.IsNil()
		switch put, ok := at[s.Key]; {
		case !ok, !s.Value.IsNil() && !s.Value.Equal(put):
			return ""
		case !s.Value.IsNil():
			seen = append(seen, string(s.Key))
		}
	}
	if !missing || len(seen) == 0 {
		return ""
	}
	return fmt.Sprintf(" Of the transaction of process %d, which puts something in all of them, it "+
		"saw a part: %s.", opening.op.Process, andList(seen))
}

// halfCounterexample shows a read that saw a part of the opening.
func halfCounterexample(
	key history.Key, why string, opening, read *history.Operation,
) Counterexample {
	cx := counterexample(key, "another total", why, opening, read)
	for i := range cx.Ops {
		if op := &cx.Ops[i]; op.Index == opening.Index {
			op.Missed, op.Note = true, "only a part of it was seen"
		}
	}
	return cx
}

// explain compares each balance with the transfers.
func (b *bank) explain(
	key history.Key, adds, failed map[history.Key][]amount, reads map[history.Key][]CounterRead,
) {
	beside := make(map[*history.Operation][]*CounterRead) // what was read together
	parts := make(map[*history.Operation]map[history.Key]int64)
	for account, list := range reads {
		bound(adds[account], list)
		for i := range list {
			beside[list[i].source] = append(beside[list[i].source], &list[i])
		}
	}
	for _, all := range []map[history.Key][]amount{adds, failed} {
		for account, list := range all {
			for _, a := range list {
				if parts[a.op] == nil {
					parts[a.op] = make(map[history.Key]int64)
				}
				parts[a.op][account] += a.n
			}
		}
	}
	var wrong []*CounterRead // the first comes first: fewer transfers may be why
	for _, account := range slices.Sorted(maps.Keys(reads)) {
		for i := range reads[account] {
			if read := &reads[account][i]; read.wrong {
				wrong = append(wrong, read)
			}
		}
	}
	slices.SortStableFunc(wrong, func(a, b *CounterRead) int {
		return cmp.Compare(a.source.Return, b.source.Return)
	})
	for _, read := range wrong {
		account := read.Key
		b.d.Unexplained++
		b.bad.show(func() Counterexample {
			read.suspect(failed[account], adds[account], func(s suspicion) bool {
				return !slices.ContainsFunc(beside[read.source], func(other *CounterRead) bool {
					return !other.suits(s, parts[s.op][other.Key])
				})
			})
			why := fmt.Sprintf("Process %d read %d on %s at %s, %s.%s", read.source.Process,
				read.Value, account, seconds(read.source.Return), read.wants("transfers"),
				read.accusation("transfer"))
			cx := read.counterexample(key, why, adds[account])
			read.show(&cx)
			return cx
		})
	}
}

// suits reports whether a suspicion, which is about n here, would make a read right.
func (c *CounterRead) suits(s suspicion, n int64) bool {
	switch {
	case s.times > 1:
		return c.twice(amount{s.op, n})
	case s.times == 0:
		n = -n
	}
	return c.without(n)
}
