package soak

import (
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	progressEvery = time.Second
	plainInterval = 30 * time.Second
	// publishEvery is the least time between two writings of the summary while all is well.
	publishEvery = 10 * time.Second
)

// progress tells a person how far a soak is: on a terminal a line that is rewritten, elsewhere
// a line from time to time. It is used by one goroutine.
type progress struct {
	out      io.Writer
	terminal bool
	width    int
	last     time.Time
}

// say prints a line that stays.
func (p *progress) say(format string, args ...any) {
	p.done()
	fmt.Fprintf(p.out, format+"\n", args...)
}

// status shows how far it is.
func (p *progress) status(now time.Time, line string) {
	if !p.terminal {
		if now.Sub(p.last) >= plainInterval {
			p.last = now
			fmt.Fprintln(p.out, line)
		}
		return
	}
	p.done()
	fmt.Fprint(p.out, line)
	p.width = len([]rune(line))
}

// done ends the rewritten line.
func (p *progress) done() {
	if p.width > 0 {
		fmt.Fprint(p.out, "\r", strings.Repeat(" ", p.width), "\r")
		p.width = 0
	}
}

// tell says what has to be known at once.
func (s *soak) tell(f finished) {
	r := f.record
	if r.Outcome != Violated && r.Outcome != Crashed {
		return
	}
	e := s.journal.Ended[f.attempt]
	what := string(r.Outcome)
	if s.journal.info(e.Cell).Canary && r.Outcome == Violated {
		what = "canary found"
	}
	s.progress.say("run %s, %s: %s: %s", f.attempt, what, e.Cell, oneLine(r.Reason, 160))
}

// oneLine cuts a text to so many characters.
func oneLine(text string, most int) string {
	if r := []rune(strings.Join(strings.Fields(text), " ")); len(r) > most {
		return string(r[:most-1]) + "…"
	} else {
		return string(r)
	}
}

// progressLine says how far the soak is, and when it will be over.
func (s *soak) progressLine() string {
	count := map[Outcome]int{}
	runs := 0
	var bytes int64
	for a, e := range s.journal.Ended {
		if !s.journal.Pruned[a] {
			bytes += e.Bytes
		}
		if a.Try > 0 {
			continue
		}
		runs++
		if e.Outcome != Violated || !s.journal.info(e.Cell).Canary {
			count[e.Outcome]++
		}
	}
	active := s.active()
	line := fmt.Sprintf("%d runs, %d go on: %d valid, %d unknown, %d crashed, %d violated; %s; %s",
		runs, len(s.going), count[Valid], count[Unknown], count[Crashed], count[Violated],
		formatSize(bytes), round(active))
	if left, known := s.left(runs, active); known {
		line += fmt.Sprintf(", %s left", round(left))
	}
	return line
}

// left estimates how long the soak will go on.
func (s *soak) left(runs int, active time.Duration) (left time.Duration, known bool) {
	if t := s.allowed.Time; t > 0 {
		left, known = max(0, t-active), true
	}
	if n := s.allowed.Runs; n > 0 && runs > 0 {
		due := (n+s.Shards-s.Shard)/s.Shards - runs + len(s.journal.repetitions())
		byRuns := active / time.Duration(runs) * time.Duration(max(0, due))
		if !known || byRuns < left {
			left, known = byRuns, true
		}
	}
	return left, known
}

// round is a time as people say it.
func round(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return shortTime(d.Round(100 * time.Millisecond))
	case d < time.Hour:
		return shortTime(d.Round(time.Second))
	}
	return shortTime(d.Round(time.Minute))
}
