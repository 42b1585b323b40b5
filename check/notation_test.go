package check

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/ordeal-dev/ordeal/check/graph"
	"github.com/ordeal-dev/ordeal/check/rw"
	"github.com/ordeal-dev/ordeal/check/session"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/models"
)

// The tests write histories as timelines, one operation on a line, times in
// milliseconds:
//
//	p1 write 3 0..10              process 1 wrote 3 and was told ok
//	p2 read = 3 on k1 5..12       a read of key k1 that returned 3
//	p3 cas [3,4] 20..30 fail precondition-failed
//	p4 write 5 20..?              no answer; "20..30 info" with an answer that says nothing
//	fault partition 100..200      a fault window
//	healthy n1,n2 at 100          from here on; "healthy - at 100" if nobody is
func parseTimeline(text string) (*history.History, error) {
	h := &history.History{Source: "timeline"}
	for n, line := range strings.Split(text, "\n") {
		if i := strings.Index(line, "#"); i >= 0 {
			line = line[:i]
		}
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		var err error
		switch words[0] {
		case "fault":
			err = addFault(h, words)
		case "healthy":
			err = addHealth(h, words)
		default:
			err = addOperation(h, words)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d, %q: %w", n+1, line, err)
		}
	}
	slices.SortStableFunc(h.Ops, func(a, b history.Operation) int {
		return cmp.Compare(a.Call, b.Call)
	})
	for i := range h.Ops {
		h.Ops[i].Index = int64(i)
	}
	slices.SortStableFunc(h.Nemesis, func(a, b history.Event) int {
		return cmp.Compare(a.Time, b.Time)
	})
	return h, nil
}

func addOperation(h *history.History, words []string) error {
	p, err := strconv.Atoi(strings.TrimPrefix(words[0], "p"))
	if err != nil {
		return err
	}
	op := history.Operation{Process: history.Process(p), F: history.F(words[1])}
	op.Type = history.OK
	for i := 2; i < len(words); i++ {
		switch w := words[i]; {
		case strings.Contains(w, ".."):
			if err := setTimes(&op, w); err != nil {
				return err
			}
		case w == "fail":
			op.Type = history.Fail
			op.Error = strings.Join(words[i+1:], " ")
			i = len(words)
		case w == "info":
			op.Type, op.Return = history.Info, history.Never
		case w == "on":
			i++
			op.Key = history.Key(words[i])
		case w == "=":
			i++
			if op.Out, err = history.ParseValue([]byte(words[i])); err != nil {
				return err
			}
		default:
			if op.In, err = history.ParseValue([]byte(w)); err != nil {
				return err
			}
		}
	}
	h.Ops = append(h.Ops, op)
	return nil
}

func setTimes(op *history.Operation, word string) error {
	from, to, err := parseTimes(word)
	op.Call, op.Return, op.Ended = from, to, to
	if to == history.Never {
		op.Type = history.Info
	}
	return err
}

func parseTimes(word string) (from, to history.Time, err error) {
	a, b, _ := strings.Cut(word, "..")
	x, err := strconv.Atoi(a)
	if err != nil {
		return 0, 0, err
	}
	if b == "?" {
		return history.Time(x) * 1e6, history.Never, nil
	}
	y, err := strconv.Atoi(b)
	return history.Time(x) * 1e6, history.Time(y) * 1e6, err
}

func addFault(h *history.History, words []string) error {
	from, to, err := parseTimes(words[2])
	if err != nil {
		return err
	}
	value := history.Map(
		history.Field{Name: "id", Value: history.Int(int64(len(h.Nemesis)))},
		history.Field{Name: "fault", Value: history.Str(words[1])},
		history.Field{Name: "what", Value: history.Str("all")},
		history.Field{Name: "nodes", Value: history.Strings("n1")},
	)
	e := history.Event{Process: history.Nemesis, F: "start", Type: history.Invoke, Time: from,
		Value: value}
	h.Nemesis = append(h.Nemesis, e)
	e.Type = history.Info
	h.Nemesis = append(h.Nemesis, e)
	if to != history.Never {
		e.F, e.Time = "stop", to
		h.Nemesis = append(h.Nemesis, e)
	}
	return nil
}

func addHealth(h *history.History, words []string) error {
	at, err := strconv.Atoi(words[3])
	if err != nil {
		return err
	}
	var nodes []string
	if words[1] != "-" {
		nodes = strings.Split(words[1], ",")
	}
	h.Nemesis = append(h.Nemesis, history.Event{
		Process: history.Nemesis, F: "topology", Type: history.Info,
		Time: history.Time(at) * 1e6,
		Value: history.Map(
			history.Field{Name: "healthy", Value: history.Strings(nodes...)}),
	})
	return nil
}

func mustTimeline(t testing.TB, text string) *history.History {
	t.Helper()
	h, err := parseTimeline(text)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestCheckers runs the scripts in testdata: a timeline, and what a checker has to
// say about it.
func TestCheckers(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			h, err := parseTimeline(d.Input)
			if err != nil {
				d.Fatalf(t, "%v", err)
			}
			c, err := scriptedChecker(d)
			if err != nil {
				d.Fatalf(t, "%v", err)
			}
			return showResult(c.Check(t.Context(), h), d.HasArg("details"))
		})
	})
}

// levelArg is the level with this name, the strongest if there is none.
func levelArg(name string) (graph.Level, error) {
	if name == "" {
		return graph.StrictSerializable, nil
	}
	return graph.ParseLevel(name)
}

// argument returns an argument's value.
func argument(d *datadriven.TestData, name string) (value string) {
	for _, a := range d.CmdArgs {
		if a.Key == name && len(a.Vals) > 0 {
			value = a.Vals[0]
		}
	}
	return value
}

// scriptedChecker makes the checker that a script names.
func scriptedChecker(d *datadriven.TestData) (Checker, error) {
	arg := func(name string) string { return argument(d, name) }
	switch d.Cmd {
	case "linearizable":
		return Linearizable(arg("model"), Options{
			Refusals: d.HasArg("refusals"), KeepUnknown: d.HasArg("keep"),
		}), nil
	case "set-full":
		grace, _ := time.ParseDuration(arg("grace"))
		return SetFull(SetFullOptions{Linearizable: d.HasArg("linearizable"), Grace: grace}), nil
	case "counter":
		return Counter(), nil
	case "echo":
		return Echo(), nil
	case "eventual-counter":
		n, _ := strconv.Atoi(arg("nodes"))
		return EventualCounter(EventualCounterOptions{Clients: 2 * n, Nodes: n}), nil
	case "unique-ids":
		return UniqueIDs(), nil
	case "stats":
		return Stats(), nil
	case "floors":
		var f Floor
		f.F = history.F(arg("f"))
		for name, n := range map[string]*int{
			"total": &f.Total, "before": &f.Before, "during": &f.During, "after": &f.After,
		} {
			*n, _ = strconv.Atoi(arg(name))
		}
		return Floors(f), nil
	case "availability":
		return Availability(AvailabilityOptions{
			Claimed: d.HasArg("claimed"), Foreign: d.HasArg("foreign"),
		}), nil
	}
	return scriptedWorkload(d)
}

// scriptedWorkload makes the checkers of single workloads.
func scriptedWorkload(d *datadriven.TestData) (Checker, error) {
	arg := func(name string) string { return argument(d, name) }
	switch d.Cmd {
	case "twin":
		return Twin(), nil
	case "bank":
		return Bank(BankOptions{NoOverdraft: d.HasArg("no-overdraft"), Stale: d.HasArg("stale")}), nil
	case "balances":
		return Balances(BankOptions{NoOverdraft: d.HasArg("no-overdraft")}), nil
	case "long-fork":
		return LongFork(), nil
	case "g2":
		return G2(), nil
	case "total-queue":
		return TotalQueue(), nil
	case "decide":
		return Decide(), nil
	case "lock":
		return Lock(LockOptions{Drift: 0.05}), nil
	case "fenced":
		return Fenced(), nil
	case "spread":
		return Spread(SpreadOptions{}), nil
	case "log":
		return Log(LogOptions{Unordered: d.HasArg("unordered"), Stale: d.HasArg("stale")}), nil
	case "liveness", "recovery":
		return scriptedProgress(d.Cmd, d.HasArg("claimed"), d.HasArg("foreign")), nil
	case "list-append":
		l, err := levelArg(arg("level"))
		return ListAppend(TxnOptions{Level: l}), err
	case "rw-register":
		l, err := levelArg(arg("level"))
		o := TxnOptions{Level: l}
		switch arg("keys") {
		case "linearizable":
			o.Keys = rw.KeysLinearizable
		case "sequential":
			o.Keys = rw.KeysSequential
		}
		return RWRegister(o), err
	case "session-guarantees":
		var o GuaranteesOptions
		o.Unordered, o.Rising = d.HasArg("unordered"), d.HasArg("rising")
		if claim := arg("claim"); claim != "" {
			var err error
			if o.Claimed, err = session.Parse(claim); err != nil {
				return nil, err
			}
		}
		return SessionGuarantees(o), nil
	case "session-levels":
		return SessionLevels(SessionLevel(arg("level"))), nil
	case "increasing-ids":
		return IncreasingIDs(), nil
	case "sequential":
		return Sequential(), nil
	case "staleness":
		var o StalenessOptions
		o.Versions, _ = strconv.Atoi(arg("versions"))
		o.Time, _ = time.ParseDuration(arg("time"))
		return Staleness(o), nil
	case "groups":
		m := models.MultiRegister()
		m.Key = nil
		return LinearizableSpec(m.Spec(), Options{}), nil
	}
	return nil, fmt.Errorf("no checker %q", d.Cmd)
}

// scriptedProgress makes a judge of what works again.
func scriptedProgress(name string, claimed, foreign bool) Checker {
	if name == "liveness" {
		return Liveness(LivenessOptions{Claimed: claimed, Foreign: foreign})
	}
	return Recovery(RecoveryOptions{
		Kinds:   []Floor{{F: "read"}, {F: "write", Name: "writing"}},
		Claimed: claimed, Foreign: foreign,
	})
}

func showResult(r Result, details bool) string {
	var b strings.Builder
	reason := r.Reason
	if len(r.Counterexamples) > 0 {
		reason = strings.TrimSuffix(reason, ". "+r.Counterexamples[0].Why)
	}
	fmt.Fprintf(&b, "%s: %s\n", r.Verdict, reason)
	for _, cx := range r.Counterexamples {
		fmt.Fprintf(&b, "%s\n", cx.Why)
		for _, op := range cx.Ops {
			mark := " "
			if op.Culprit {
				mark = "*"
			}
			ret := "?"
			if op.Return >= 0 {
				ret = strconv.FormatInt(op.Return/1e6, 10)
			}
			wrong := ""
			if op.Culprit && cx.Mark != "" {
				wrong = "  <- " + cx.Mark
			}
			if op.Note != "" {
				wrong += "  -- " + op.Note
			}
			fmt.Fprintf(&b, "%s p%d %s %d..%s%s\n", mark, op.Process, op.Describe, op.Call/1e6, ret,
				wrong)
		}
	}
	if details {
		fmt.Fprintf(&b, "%+v\n", r.Details)
	}
	return b.String()
}
