package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/check"
)

const intro = `# Recall

How often a generic test finds each planted bug of the reference cluster, and how quickly. The
test knows nothing of the bug: the protocol's own workload, fifteen clients on %d nodes, %g
operations a second, and a mixed nemesis of all faults, decided by the seed alone. One campaign has
a budget of %v of workload time, spent in runs of growing length until one is invalid; *time to
witness* is the workload time until the last operation of the counter-example had ended. A correct
protocol gets one run of %v for each seed and has to stay valid.

Measured with %d campaigns a row, %d at the same time, on %s with %d cores. Repeat it with

    go run ./bench/recall -seeds %d -parallel %d -for %v -out docs/RECALL.md

(about two hours on such a machine; a row by itself: ` + "`-only paxos/cli-no-dedup`" + `).

| protocol | planted bug | workload | found | time to witness: median | greatest |
|---|---|---|---|---|---|
`

const matrixIntro = `## The correct protocols

Every protocol with every workload of its claim, for %v each, under the families of faults that the
claim covers (checker list systems): %d runs each with fifteen clients on %d nodes and %g operations
a second, %d runs at the same time, on %s with %d cores. None may be invalid. Repeat it with

    go run ./bench/recall -matrix -seeds %d -parallel %d -for %v -nodes %d -rate %g
`

func writeTable(w io.Writer, o options, rows []subject, results map[subject][]outcome) error {
	var b strings.Builder
	if o.matrix {
		fmt.Fprintf(&b, matrixIntro, o.budget, o.seeds, o.nodes, o.rate, o.parallel,
			runtime.GOOS+"/"+runtime.GOARCH, runtime.NumCPU(), o.seeds, o.parallel, o.budget,
			o.nodes, o.rate)
		writeCorrectRows(&b, rows, results)
		writeMisses(&b, rows, results)
		_, err := io.WriteString(w, b.String())
		return err
	}
	fmt.Fprintf(&b, intro, o.nodes, o.rate, o.budget, o.budget, o.seeds, o.parallel,
		runtime.GOOS+"/"+runtime.GOARCH, runtime.NumCPU(), o.seeds, o.parallel, o.budget)
	for _, s := range rows {
		if s.bug != "" {
			writeBug(&b, s, results[s])
		}
	}
	writeCorrectRows(&b, rows, results)
	writeMisses(&b, rows, results)
	_, err := io.WriteString(w, b.String())
	return err
}

func writeCorrectRows(b *strings.Builder, rows []subject, results map[subject][]outcome) {
	b.WriteString("\n| protocol | workload | valid | unknown | invalid |\n|---|---|---|---|---|\n")
	for _, s := range rows {
		if s.bug == "" {
			writeCorrect(b, s, results[s])
		}
	}
}

func writeBug(b *strings.Builder, s subject, all []outcome) {
	var times []time.Duration
	for _, r := range all {
		if r.verdict == check.Invalid {
			times = append(times, r.witness)
		}
	}
	slices.Sort(times)
	median, greatest := "-", "-"
	if n := len(times); n > 0 {
		median, greatest = secondsText(times[n/2]), secondsText(times[n-1])
	}
	fmt.Fprintf(b, "| %s | `%s` | %s | %d of %d | %s | %s |\n",
		s.protocol, s.bug, strings.Join(s.workloads(), ", "), len(times), len(all), median, greatest)
}

func writeCorrect(b *strings.Builder, s subject, all []outcome) {
	count := map[check.Verdict]int{}
	for _, r := range all {
		if r.err == "" || r.dir != "" {
			count[r.verdict]++
		}
	}
	fmt.Fprintf(b, "| %s | %s | %d of %d | %d | %d |\n", s.protocol, s.workload,
		count[check.Valid], len(all), count[check.Unknown], count[check.Invalid])
}

// writeMisses lists every campaign that did not come out as it should have.
func writeMisses(b *strings.Builder, rows []subject, results map[subject][]outcome) {
	var lines []string
	for _, s := range rows {
		for _, r := range results[s] {
			want := check.Invalid
			if s.bug == "" {
				want = check.Valid
			}
			if r.verdict != want || r.err != "" {
				lines = append(lines, fmt.Sprintf("- %s %s %s, seed %d: %s. %s %s\n", s.protocol,
					s.workload, name(s.bug), r.seed, verdictText(r), r.reason, r.err))
			}
		}
	}
	if len(lines) == 0 {
		b.WriteString("\nNo campaign came out otherwise.\n")
		return
	}
	b.WriteString("\nCampaigns that came out otherwise:\n\n")
	for _, l := range lines {
		b.WriteString(l)
	}
}

// verdictText is the verdict, or that there was none.
func verdictText(r outcome) string {
	if r.dir == "" {
		return "no verdict"
	}
	return r.verdict.String()
}

func secondsText(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
