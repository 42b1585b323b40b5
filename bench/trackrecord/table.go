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

const intro = `# Track record

Known anomalies of systems that other people wrote, found by ordinary workloads and checkers; and
beside each the same test with one setting changed, which has to come out valid. No test knows how
its anomaly comes about: the commands are all there is to it. A red side counts only if the checker
that is named says invalid and names the anomaly. In the commands, $schedule is a file with the
fault that is shown, and $etcd… and $nats are programs that were built.

Measured with %[1]d runs of each side, on %[2]s with %[3]d cores, one after the other. Repeat it
(Linux, root; packages come from Debian, other versions are built from the Go module proxy) with

    make track-record TIMES=%[1]d

or a row by itself: ` + "`go run ./bench/trackrecord -only %[4]q`" + `.

| system and anomaly | side | as stated | time to the first witness | seeds |
|---|---|---|---|---|
`

func writeTable(w io.Writer, o options, chosen []row, done []outcome) error {
	var b strings.Builder
	fmt.Fprintf(&b, intro, o.times, runtime.GOOS+"/"+runtime.GOARCH, runtime.NumCPU(), chosen[0].name)
	for _, r := range chosen {
		for _, s := range []side{r.red, r.green} {
			writeSide(&b, r, s, slices.DeleteFunc(slices.Clone(done), func(o outcome) bool {
				return o.row != r.name || o.side != s.name
			}))
		}
	}
	for _, r := range chosen {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n", r.name, r.source)
		for _, s := range []side{r.red, r.green} {
			want := s.verdict.String()
			if s.anomaly != "" {
				want = fmt.Sprintf("invalid, %s says %q", s.checker, s.anomaly)
			}
			fmt.Fprintf(&b, "%s (%s):\n\n    checker %s\n\n", s.name, want, quoted(s.arguments(r)))
		}
		if r.schedule != "" {
			fmt.Fprintf(&b, "The schedule is one fault:\n\n    %s\n\n", r.schedule)
		}
		for _, d := range done {
			if d.row == r.name && !d.asStated {
				fmt.Fprintf(&b, "* %s, seed %d: %s: %s\n", d.side, d.seed, d.verdict, d.reason)
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writeSide(b *strings.Builder, r row, s side, runs []outcome) {
	good := 0
	var times []time.Duration
	var seeds []string
	for _, o := range runs {
		if o.asStated {
			good++
		}
		if o.witness > 0 {
			times = append(times, o.witness)
		}
		seeds = append(seeds, fmt.Sprint(o.seed))
	}
	words := make([]string, 0, len(times))
	for _, t := range times {
		words = append(words, fmt.Sprintf("%.1f s", t.Seconds()))
	}
	first := strings.Join(words, ", ")
	if s.verdict != check.Invalid {
		first = "–"
	}
	fmt.Fprintf(b, "| %s | %s: %s | %d of %d | %s | %s |\n", r.name, s.name, s.verdict, good,
		len(runs), first, strings.Join(seeds, ", "))
}

// quoted writes arguments as they are typed in a shell.
func quoted(args []string) string {
	words := make([]string, len(args))
	for i, a := range args {
		words[i] = a
		if strings.ContainsAny(a, " '\"") {
			words[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}
