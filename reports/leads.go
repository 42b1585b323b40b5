package reports

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// lead is the time for which a node said in its log that it leads.
type lead struct {
	node string
	what string // its ballot, view or term
	// end is Never if it led until the end.
	start, end history.Time
	color      int
}

// told is as in "n1 leads, ballot 7".
func (l lead) told() string {
	if l.what == "" {
		return l.node + " leads"
	}
	return l.node + " leads, " + l.what
}

// named is as in "n1 (ballot 7)".
func (l lead) named() string {
	if l.what == "" {
		return l.node
	}
	return l.node + " (" + l.what + ")"
}

// leadsMax bounds the leads of a page.
const leadsMax = 2000

// leads reads from the nodes' logs who believed to lead, and when: lines with primary=true
// and primary=false, as the reference cluster writes them at every change of its role,
// also in a simulation. One that was killed says nothing any more: it leads until the
// fault.
func leads(r Run) []lead {
	var all []lead
	for i, log := range r.Logs {
		open := -1
		end := func(at history.Time) {
			if open >= 0 {
				l := &all[open]
				l.end = max(l.start, killed(r.Faults, log.Node, l.start, at))
			}
			open = -1
		}
		for _, line := range timedLines(log.Text, r.started()) {
			if line.at == history.Never || len(all) >= leadsMax {
				continue
			}
			switch {
			case field(line.text, "primary") == "true":
				what := ballotOf(line.text)
				if open >= 0 && all[open].what == what {
					continue
				}
				end(line.at)
				open = len(all)
				all = append(all, lead{log.Node, what, line.at, history.Never, i % bandColors})
			case field(line.text, "primary") == "false", died(line.text):
				end(line.at)
			}
		}
		end(history.Never)
	}
	slices.SortStableFunc(all, func(a, b lead) int { return sign(int64(a.start - b.start)) })
	return all
}

// died reports whether a line says that a process ended, or another one began.
func died(line string) bool {
	if strings.HasPrefix(line, "=== ordeal: start") {
		return true
	}
	_, said, _ := strings.Cut(line, " ") // after the time, in a simulation
	return said == "killed" || strings.HasPrefix(said, "starts, epoch ")
}

// leadersAt are those who believed to lead while an operation was open.
func (b bands) leadersAt(op check.Op) (all []lead) {
	for _, l := range b.leads {
		if int64(l.start) <= max(op.Call, op.Return)+leadsLate && int64(l.end) > op.Call {
			all = append(all, l)
		}
	}
	return all
}

// leaders says who believed to lead while an operation was open, "" if that is not known.
func (b bands) leaders(op check.Op) string {
	var names []string
	last, first := history.Time(0), history.Never // of the starts and of the ends
	for _, l := range b.leadersAt(op) {
		last, first = max(last, l.start), min(first, l.end)
		names = append(names, l.named())
	}
	switch {
	case len(b.leads) == 0:
		return ""
	case len(names) == 0:
		return "Nobody said that it leads then."
	case len(names) == 1:
		return names[0] + " led."
	case last+rivalsLeast > first:
		return strings.Join(names, ", then ") + " led."
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1] +
		" believed to lead at the same time."
}

const (
	// rivalsLeast is how long two have to believe to lead: where one hands over to the other
	// they do for as long as a message needs.
	rivalsLeast = history.Time(100 * time.Millisecond)
	// leadsLate is how much later than its answers a node may write that it leads.
	leadsLate = int64(20 * time.Millisecond)
)

// rivals says which two leaders believed to lead at the same time between two moments, and
// from when to when, "" if none did. Of several times the last counts.
func (b bands) rivals(from, to int64) string {
	for i, l := range slices.Backward(b.leads) {
		for _, other := range slices.Backward(b.leads[:i]) {
			start, end := l.start, min(l.end, other.end) // by their starts
			if l.node == other.node || end-start < rivalsLeast || int64(start) > to || int64(end) <= from {
				continue
			}
			return fmt.Sprintf("From %s to %s %s and %s believed to lead at the same time.",
				at(start), at(end), other.named(), l.named())
		}
	}
	return ""
}

// field is the value of name=value in a line of log/slog, without blanks and quotes.
func field(line, name string) string {
	at := strings.Index(line, " "+name+"=")
	if at < 0 {
		return ""
	}
	value, _, _ := strings.Cut(line[at+len(name)+2:], " ")
	return strings.Trim(value, `"`)
}

// ballotOf is what tells one time of leading from the next.
func ballotOf(line string) string {
	for _, name := range []string{"ballot", "view", "term", "epoch"} {
		if v := field(line, name); v != "" && v != "-" {
			return name + " " + brief(v, 80)
		}
	}
	return ""
}

// killed is when a fault ended a node's process in a stretch of time, or its end. Where
// processes are started again at once, the log has the time of that.
func killed(faults []nemesis.FaultRecord, node string, from, to history.Time) history.Time {
	for _, f := range faults {
		if !strings.Contains(f.Step.Fault, "kill") {
			continue
		}
		hit := slices.ContainsFunc(f.Nodes, func(n nemesis.Node) bool { return string(n) == node })
		if at := f.Start + killedAfter(f.Step); hit && at >= from && at < to {
			to = at
		}
	}
	return to
}

// killedAfter is how long a fault waits before it kills: it may cut nodes off first.
func killedAfter(s nemesis.Step) history.Time {
	after := time.Second
	switch s.Fault {
	case "isolate-kill":
	case "isolate-restart":
		after = 100 * time.Millisecond
	default:
		return 0
	}
	if d, err := time.ParseDuration(s.Params["after"]); err == nil {
		after = d
	}
	return history.Time(min(after, s.For/2))
}

// kill is a moment at which a fault that went on for longer killed nodes.
type kill struct {
	fault string
	id    int64
	what  string
	at    history.Time
}

// killsOf are the kills of faults that cut nodes off first.
func killsOf(faults []nemesis.FaultRecord) (all []kill) {
	for _, f := range faults {
		what, isolates := strings.CutPrefix(f.Step.Fault, "isolate-")
		at := f.Start + killedAfter(f.Step)
		if isolates && f.Injected && at < f.End {
			all = append(all, kill{f.Step.Fault, f.Step.ID, what, at})
		}
	}
	return all
}
