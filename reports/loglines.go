package reports

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/history"
)

// logData is a node's log in the page: its lines, and when each was written.
type logData struct {
	Node  string   `json:"node"`
	Path  string   `json:"path"`
	Lines []string `json:"lines"`
	// Times are seconds of the test; nil for a line without a time of its own.
	Times []*float64 `json:"times"`
}

const (
	// logBytes is how much of all logs is in the page.
	logBytes = 1_500_000
	// lineMost is how much of a line.
	lineMost = 2000
	// stampWithin is where in a line its time has to begin.
	stampWithin = 160
)

// logLine is a line with its time, Never if it has none.
type logLine struct {
	text string
	at   history.Time
}

// started is the wall-clock time of the test's time 0.
func (r *Run) started() time.Time {
	if r.History != nil && !r.History.Header.Started.IsZero() {
		return r.History.Header.Started
	}
	return r.Started
}

// timedLines splits a log.
func timedLines(text string, started time.Time) []logLine {
	var all []logLine
	for line := range strings.Lines(text) {
		l := logLine{text: strings.TrimRight(line, "\r\n"), at: history.Never}
		if t, ok := stamp(l.text); ok && !started.IsZero() {
			l.at = history.Time(t.Sub(started))
		} else if t, ok := sinceStart(l.text); ok {
			l.at = t
		}
		all = append(all, l)
	}
	return all
}

// stamp finds the time in a line: ISO 8601, with a T or a blank, a point or a comma, and
// with or without a zone, as nearly every program writes it.
func stamp(line string) (time.Time, bool) {
	line = line[:min(len(line), stampWithin+40)]
	for i := 4; i+15 <= len(line) && i < stampWithin; i++ {
		if line[i] != '-' || line[i+3] != '-' || line[i+9] != ':' || line[i+12] != ':' {
			continue
		}
		date, rest := line[i-4:i+6], line[i+7:]
		if end := strings.IndexAny(rest, " \"]})|;"); end >= 0 {
			rest = rest[:end]
		}
		text := date + "T" + strings.Replace(strings.TrimRight(rest, ",:"), ",", ".", 1)
		for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05"} {
			if t, err := time.Parse(layout, text); err == nil {
				return t, true
			}
		}
	}
	return time.Time{}, false
}

// sinceStart is the time of the test at the beginning of a line, as the nodes of a
// simulation write it: there is no date in a world of its own.
func sinceStart(line string) (history.Time, bool) {
	word, _, _ := strings.Cut(line[:min(len(line), stampWithin)], " ")
	d, err := time.ParseDuration(word)
	return history.Time(d), err == nil && d >= 0 && strings.HasSuffix(word, "s")
}

// logsOf are the telling parts of the logs.
func logsOf(r Run) []logData {
	all := []logData{}
	var moments []history.Time
	for _, f := range counterexamples(r.Result) {
		for i := range f.Ops {
			moments = append(moments, history.Time(f.Ops[i].Call))
		}
	}
	for _, log := range r.Logs {
		d := logData{
			Node: visible(log.Node), Path: visible(log.Path), Lines: []string{}, Times: []*float64{},
		}
		lines := tellingLines(timedLines(log.Text, r.started()), moments, logBytes/len(r.Logs))
		for _, l := range lines {
			d.Lines = append(d.Lines, visible(brief(l.text, lineMost)))
			if l.at == history.Never {
				d.Times = append(d.Times, nil)
				continue
			}
			t := seconds(l.at)
			d.Times = append(d.Times, &t)
		}
		all = append(all, d)
	}
	return all
}

// tellingLines keeps the start of a log, its end, and what is around some moments, within
// a number of bytes, and says how much is left out between.
func tellingLines(lines []logLine, moments []history.Time, most int) []logLine {
	size := func(l logLine) int { return min(len(l.text), lineMost) + 30 }
	total := 0
	for _, l := range lines {
		total += size(l)
	}
	if total <= most {
		return lines
	}
	keep := make([]bool, len(lines))
	take := func(from, to, budget int) { // outwards from two neighbors
		for budget > 0 && (from >= 0 || to < len(lines)) {
			for _, i := range []int{from, to} {
				if i >= 0 && i < len(lines) && !keep[i] {
					keep[i] = true
					budget -= size(lines[i])
				}
			}
			from, to = from-1, to+1
		}
	}
	take(-1, 0, most/10)
	if len(moments) > 8 {
		moments = []history.Time{slices.Min(moments), slices.Max(moments)}
	}
	for _, m := range moments {
		at := slices.IndexFunc(lines, func(l logLine) bool { return l.at != history.Never && l.at >= m })
		if at >= 0 {
			take(at-1, at, most/2/len(moments))
		}
	}
	take(len(lines)-1, len(lines), most*3/10)
	var kept []logLine
	for i := 0; i < len(lines); i++ {
		gap := 0
		for ; i < len(lines) && !keep[i]; i++ {
			gap++
		}
		if gap > 0 {
			kept = append(kept, logLine{
				text: fmt.Sprintf("… %s lines are left out here: they are in the file …",
					group(int64(gap))), at: history.Never,
			})
		}
		if i < len(lines) {
			kept = append(kept, lines[i])
		}
	}
	return kept
}
