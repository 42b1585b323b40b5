package recall

import (
	"fmt"
	"time"
)

// progress tells a person of each campaign that ended, and how many are still to come. It
// is used by one goroutine.
type progress struct {
	env         Env
	began       time.Time
	known       int // campaigns that were there from the start
	done, total int
	found, bugs int
	falseAlarms int
}

func newProgress(env Env, known, total int) *progress {
	p := &progress{env: env, began: env.Now(), known: known, done: known, total: total}
	if known > 0 {
		fmt.Fprintf(env.Out, "%d of %d campaigns are known already\n", known, total)
	}
	return p
}

// tell prints a line.
func (p *progress) tell(o outcome) {
	p.done++
	switch {
	case o.bug != "":
		p.bugs++
		if o.found() {
			p.found++
		}
	case o.found():
		p.falseAlarms++
	}
	now := p.env.Now()
	fmt.Fprintf(p.env.Out, "%s %*d/%d %-45s seed %-3d %-7s %7.1f s %8d operations, %d runs  %s %s\n",
		now.Format("15:04:05"), len(fmt.Sprint(p.total)), p.done, p.total, o.name(), o.seed,
		verdictText(o), o.witness.Seconds(), o.operations, o.runs, o.dir, o.err)
	if p.done%progressEvery == 0 && p.done < p.total {
		each := now.Sub(p.began) / time.Duration(p.done-p.known)
		fmt.Fprintf(p.env.Out, "%s found so far: %d of %d; false alarms: %d; about %v to go\n",
			now.Format("15:04:05"), p.found, p.bugs, p.falseAlarms,
			(each * time.Duration(p.total-p.done)).Round(time.Second))
	}
}

// progressEvery is how many campaigns come between two sums.
const progressEvery = 20
