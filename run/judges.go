package run

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/check/graph"
	"github.com/ordeal-dev/ordeal/check/rw"
	"github.com/ordeal-dev/ordeal/check/session"
	"github.com/ordeal-dev/ordeal/history"
)

// judgeByName is a checker that can be asked for by name.
type judgeByName struct {
	name, doc string
	// timeless judges ask for no real-time order, so that they can judge histories
	// that know of none. Of those with levels of isolation it depends on the level.
	timeless bool
	make     func() check.Checker
	// makeLevel is instead of make for a checker that judges an isolation level, which
	// is one of Levels.
	makeLevel func(check.TxnOptions) check.Checker
	// makeStale is instead of make for a checker that judges how stale reads are.
	makeStale func(check.StalenessOptions) check.Checker
	// session levels are instead of these, and the first of them is the default.
	session []check.SessionLevel
	// guarantees says that it judges session guarantees, by names of package session.
	guarantees bool
	// reshape brings histories of Jepsen's own workloads into the shape that the
	// checker knows. It may be nil.
	reshape func(*history.History)
}

// judges is the table of all checkers that make sense on a file by itself.
func judges() []judgeByName {
	return []judgeByName{
		{name: "list-append", doc: "transactions that append unique elements to lists and read them",
			makeLevel: check.ListAppend},
		{name: "rw-register", doc: "transactions that write unique values to registers and read them",
			makeLevel: check.RWRegister},
		{name: "session-levels", doc: "the same registers at the weak levels of Plume, AWDIT and dbcop",
			session: []check.SessionLevel{
				check.SessionCausal, check.SessionReadAtomic, check.SessionReadCommitted}},
		{name: "session-guarantees", doc: "read your writes, monotonic reads, …, pram, causal: of " +
			"registers, logs and sets", guarantees: true},
		{name: "set-full", doc: "add, read: every acknowledged element is in every later read",
			make: func() check.Checker {
				return check.SetFull(check.SetFullOptions{Linearizable: true})
			}},
		{name: "set", doc: "add, read: no element is lost in the end",
			make: func() check.Checker { return check.SetFull(check.SetFullOptions{}) }},
		{name: "counter", doc: "add, read: reads lie between the bounds that the adds allow",
			make: check.Counter},
		{name: "eventual-counter", doc: "add, read: in the end all adds are in what is read",
			make: func() check.Checker { return check.EventualCounter(check.EventualCounterOptions{}) }},
		{name: "total-queue", doc: "enqueue, dequeue: what goes in comes out once",
			make: check.TotalQueue},
		{name: "log", doc: "append, read: an append-only log, nothing lost, one order",
			make: func() check.Checker { return check.Log(check.LogOptions{}) }},
		{name: "log-stale", doc: "the same, but a read may miss the latest elements",
			make: func() check.Checker { return check.Log(check.LogOptions{Stale: true}) }},
		{name: "unique-ids", doc: "generate: no id twice", timeless: true, make: check.UniqueIDs},
		{name: "echo", doc: "echo: what is asked for comes back", timeless: true, make: check.Echo},
		{name: "increasing-ids", doc: "generate: later ids are greater", make: check.IncreasingIDs},
		{name: "lock", doc: "acquire, renew, release of leases with tokens: tenures do not overlap",
			make: func() check.Checker { return check.Lock(check.LockOptions{}) }},
		{name: "fenced", doc: "write [token, value], read: no token older than one accepted before",
			make: check.Fenced},
		{name: "decide", doc: "propose, ask: agreement, validity, stability", make: check.Decide},
		{name: "bank", doc: "transfer, read: the total stays, no balance is below zero",
			timeless: true, make: func() check.Checker { return bank(true) }},
		{name: "bank-overdraft", doc: "the same, but balances may be below zero",
			timeless: true, make: func() check.Checker { return bank(false) }},
		{name: "long-fork", doc: "reads of groups of keys, each written once: one order of commits",
			timeless: true, make: check.LongFork, reshape: groupByReads},
		{name: "comments", doc: "write, read of all values: whoever sees a write sees all before it",
			make: check.Comments},
		{name: "g2", doc: "transactions that read a group of keys and write one: no write skew",
			timeless: true, make: check.G2},
		{name: "twin", doc: "transactions that write one value to all keys of a group: all or nothing",
			timeless: true, make: check.Twin},
		{name: "session", doc: "write 1, 2, 3, … by one process a key, read: known again, and spread",
			make: sessions},
		{name: "sequential", doc: "write, read, cas of unique values: each key sequentially consistent",
			timeless: true, make: check.Sequential},
		{name: "staleness", doc: "write, read of unique values: by how much reads are stale",
			makeStale: check.Staleness},
		{name: "stats", doc: "counts and latencies by operation; every kind has to succeed at times",
			timeless: true, make: func() check.Checker { return check.Stats() }},
	}
}

// Levels are the isolation levels that can be claimed, the stronger ones first.
func Levels() []string {
	var names []string
	for _, l := range graph.Levels() {
		names = append(names, l.String())
	}
	return names
}

// joined lists words of any type.
func joined[S ~string](list []S) string {
	words := make([]string, len(list))
	for i, w := range list {
		words[i] = string(w)
	}
	return strings.Join(words, ", ")
}

// verdict returns what judges by this checker, for what is claimed of the file.
func (j judgeByName) verdict(f File) (verdict, error) {
	isolation, keys := f.Isolation, f.KeyOrder
	v := verdict{timeless: j.timeless, reshape: j.reshape}
	switch {
	case keys != "" && j.name != "rw-register":
		return v, fmt.Errorf("checker %s knows no order of a key: that is for rw-register", j.name)
	case f.stale() && j.makeStale == nil:
		return v, fmt.Errorf("checker %s judges no staleness: that is for staleness", j.name)
	case f.StaleVersions < 0 || f.StaleTime < 0:
		return v, errors.New("how stale a read may be: less than nothing")
	}
	switch {
	case j.session != nil:
		level := check.SessionLevel(isolation)
		if isolation == "" {
			level = j.session[0]
		}
		if !slices.Contains(j.session, level) {
			return v, fmt.Errorf("isolation %q: unknown to %s; there is %s", isolation, j.name,
				joined(j.session))
		}
		v.checker, v.timeless = check.SessionLevels(level), true
		return v, nil
	case j.guarantees:
		var o check.GuaranteesOptions
		if isolation != "" {
			var err error
			if o.Claimed, err = session.Parse(isolation); err != nil {
				return v, err
			}
		}
		v.checker, v.timeless = check.SessionGuarantees(o), true
		return v, nil
	case j.makeLevel == nil:
		if isolation != "" {
			return v, fmt.Errorf("checker %s judges no isolation level: --isolation is for "+
				"list-append, rw-register, session-levels and session-guarantees", j.name)
		}
		v.checker = j.plain(f)
		return v, nil
	}
	var o check.TxnOptions
	if isolation != "" {
		level, err := graph.ParseLevel(isolation)
		if err != nil {
			return v, fmt.Errorf("isolation %q: unknown; there is %s", isolation,
				strings.Join(Levels(), ", "))
		}
		o.Level = level
	}
	switch keys {
	case "":
	case "linearizable":
		o.Keys = rw.KeysLinearizable
	case "sequential":
		o.Keys = rw.KeysSequential
	default:
		return v, fmt.Errorf("order of keys %q: unknown; there is linearizable, sequential", keys)
	}
	v.checker = j.makeLevel(o)
	v.timeless = !o.Level.Realtime() && o.Keys != rw.KeysLinearizable
	return v, nil
}

// plain makes a checker that judges no level of isolation.
func (j judgeByName) plain(f File) check.Checker {
	if j.makeStale != nil {
		return j.makeStale(check.StalenessOptions{Versions: f.StaleVersions, Time: f.StaleTime})
	}
	return j.make()
}

// Checkers returns the checkers that CheckFile can use beside models, each with what
// it checks.
func Checkers() (names, docs []string) {
	for _, j := range judges() {
		names, docs = append(names, j.name), append(docs, j.doc)
	}
	return names, docs
}

func lookupJudge(name string) (judgeByName, error) {
	var names []string
	for _, j := range judges() {
		if j.name == name {
			return j, nil
		}
		names = append(names, j.name)
	}
	return judgeByName{}, fmt.Errorf("checker %q: unknown; there is %s", name,
		strings.Join(names, ", "))
}

// sessions judges what this program's workload session records: that sessions read what
// they wrote and read, and that in the end everybody reads everything.
func sessions() check.Checker {
	return check.Compose("session", check.Spread(check.SpreadOptions{}),
		check.SessionGuarantees(check.GuaranteesOptions{
			Claimed:   session.ReadYourWrites | session.MonotonicReads,
			Unordered: true, Rising: true,
		}))
}

// bank judges Jepsen's banks, with their maps of balances, and this program's, which
// are transactions.
func bank(noOverdraft bool) check.Checker {
	o := check.BankOptions{NoOverdraft: noOverdraft}
	return check.CheckerFunc(func(ctx context.Context, h *history.History) check.Result {
		for i := range h.Ops {
			if h.Ops[i].F == "txn" {
				o.Stale = h.Untimed
				return check.Bank(o).Check(ctx, h)
			}
		}
		return check.Balances(o).Check(ctx, h)
	})
}

// groupByReads turns the reads and writes of Jepsen's long-fork, whose values are
// transactions, into transactions, and makes keys that are read together a group.
func groupByReads(h *history.History) {
	parent := make(map[history.Key]history.Key)
	root := func(k history.Key) history.Key {
		for parent[k] != k {
			if _, ok := parent[k]; !ok {
				parent[k] = k
			}
			parent[k] = parent[parent[k]]
			k = parent[k]
		}
		return k
	}
	first := make([]history.Key, len(h.Ops))
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.Key != "" {
			return // it has groups
		}
		steps, err := history.ViewSteps(op.In)
		if err != nil || len(steps) == 0 {
			return // the checker says what is wrong
		}
		first[i] = steps[0].Key
		for _, s := range steps {
			parent[root(s.Key)] = root(first[i])
		}
	}
	for i := range h.Ops {
		h.Ops[i].F, h.Ops[i].Key = "txn", root(first[i])
	}
}
