package reports

import (
	"slices"
	"strings"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// lead is the time for which a node said in its log that it leads.
type lead struct {
	Node string  `json:"node"`
	What string  `json:"what"` // its ballot, view or term
	From float64 `json:"from"`
	To   float64 `json:"to"` // -1: until the end
}

// leadsMax bounds the leads of a page.
const leadsMax = 2000

// leads reads from the nodes' logs who believed to lead, and when: lines with primary=true
// and primary=false, as the reference cluster writes them at every change of its role. One
// that was killed says nothing any more: it leads until the fault.
func leads(r Run) []lead {
	all := []lead{}
	for _, log := range r.Logs {
		open := -1
		end := func(at history.Time) {
			if open >= 0 {
				from := all[open].From
				all[open].To = max(from, seconds(killed(r.Faults, log.Node, from, at)))
			}
			open = -1
		}
		for _, l := range timedLines(log.Text, r.started()) {
			if l.at == history.Never || len(all) >= leadsMax {
				continue
			}
			switch {
			case field(l.text, "primary") == "true":
				what := ballotOf(l.text)
				if open >= 0 && all[open].What == what {
					continue
				}
				end(l.at)
				open = len(all)
				all = append(all, lead{visible(log.Node), visible(what), seconds(l.at), -1})
			case field(l.text, "primary") == "false", strings.HasPrefix(l.text, "=== ordeal: start"):
				end(l.at)
			}
		}
		end(history.Never)
	}
	for i := range all {
		if all[i].To > seconds(r.History.End()) {
			all[i].To = -1
		}
	}
	return all
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

// killed is when a fault ended a node's process in a stretch of time, or its end.
func killed(faults []nemesis.FaultRecord, node string, from float64, to history.Time) history.Time {
	for _, f := range faults {
		if !strings.Contains(f.Step.Fault, "kill") && !strings.Contains(f.Step.Fault, "restart") {
			continue
		}
		hit := slices.ContainsFunc(f.Nodes, func(n nemesis.Node) bool { return string(n) == node })
		if hit && seconds(f.Start) >= from && f.Start < to {
			to = f.Start
		}
	}
	return to
}
