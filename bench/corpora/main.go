// Command corpora judges directories of recorded histories whose verdicts are known,
// and compares: the recorded histories of Porcupine, Knossos, elle-cli and AWDIT, and
// histories for which Elle, Knossos or brute force said what they are. The files are
// not a part of this project; the variable CORPORA names the directory.
//
// It knows these ways to write verdicts down, wherever they are in the tree:
//
//   - VERDICTS.tsv: a line for each file, its name and "linearizable" or not;
//   - expected.json: a list of files, each with its model and whether it is valid, as
//     elle-cli's tests have it;
//   - name.jsonl.gz: one history a line, with what it is of and what several tools, or
//     brute force, said of it;
//   - directories "good" and "bad" in one that is named like the model;
//   - directories named like the strongest isolation level that its files keep.
//
// Where brute force decided, it is right. Histories that have completions only are
// judged as if each were a moment. Below the table stands, by class, why cases are not
// agreed on: untested ones keep their promise, but nothing in them could have broken it.
// The status is 1 when a verdict differs that is not on the list of known differences.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/ordeal-dev/ordeal/check"
)

func main() {
	dir := flag.String("dir", os.Getenv("CORPORA"), "directory of the corpora")
	verbose := flag.Bool("v", false, "show every history that is not decided, too")
	flag.Parse()
	err := compare(context.Background(), os.Stdout, *dir, *verbose)
	if err != nil {
		fmt.Fprintln(os.Stderr, "corpora:", err)
		os.Exit(1)
	}
}

var errDiffer = errors.New("verdicts differ")

// row is the sum over one folder and judge.
type row struct {
	folder, judge string
	counts
	took time.Duration
}

// counts are cases by how they came out. Untested ones keep their promise, as their
// verdicts say, but nothing in them could have broken it, so that ours is unknown.
type counts struct{ agree, untested, undecided, known, disagree int }

func (c *counts) plus(o counts) {
	c.agree += o.agree
	c.untested += o.untested
	c.undecided += o.undecided
	c.known += o.known
	c.disagree += o.disagree
}

// table is what is printed.
type table struct {
	w    io.Writer
	rows []*row
	// reasons counts the cases that are not agreed on, by why that is so.
	reasons map[string]int
	verbose bool
}

// compare judges everything below dir and prints a table.
func compare(ctx context.Context, w io.Writer, dir string, verbose bool) error {
	if dir == "" {
		return errors.New("no directory: set CORPORA, or use -dir")
	}
	cases, err := find(dir)
	if err != nil {
		return err
	}
	if len(cases) == 0 {
		return fmt.Errorf("%s: no file with known verdicts in it", dir)
	}
	t := table{w: w, reasons: make(map[string]int), verbose: verbose}
	byName := make(map[[2]string]*row)
	for _, c := range cases {
		id := [2]string{c.folder, c.judge()}
		r := byName[id]
		if r == nil {
			r = &row{folder: c.folder, judge: c.judge()}
			byName[id], t.rows = r, append(t.rows, r)
		}
		o := outcomeOf(ctx, c)
		r.took += o.took
		r.plus(t.count(c, o))
	}
	return t.print()
}

// outcome is what came out of judging one case.
type outcome struct {
	result check.Result
	err    error
	took   time.Duration
}

func outcomeOf(ctx context.Context, c testCase) outcome {
	began := time.Now()
	r, err := c.run(ctx)
	return outcome{result: r, err: err, took: time.Since(began)}
}

// count counts an outcome, and tells what is wrong with it.
func (t *table) count(c testCase, o outcome) counts {
	why := o.result.Reason
	if o.err != nil {
		why = o.err.Error()
	}
	if len(why) > 300 {
		why = why[:300] + "…"
	}
	tell := func(what string) {
		fmt.Fprintf(t.w, "%s: %s by %s, want %s: %s\n", what, c.name, c.judge(), c.want, why)
	}
	switch known := whyKnown(c, o); {
	case o.err == nil && o.result.Verdict == c.want:
		return counts{agree: 1}
	case o.err == nil && o.result.Untested && c.want == check.Valid:
		t.reasons["untested: "+o.result.Reason]++
		return counts{untested: 1}
	case known != "":
		t.reasons["known: "+known]++
		return counts{known: 1}
	case o.err == nil && o.result.Verdict == check.Unknown && !o.result.Untested:
		t.reasons["undecided: "+why]++
		if t.verbose {
			tell("undecided")
		}
		return counts{undecided: 1}
	case o.err != nil:
		tell("not judged")
	default:
		tell(fmt.Sprintf("differs (%s)", o.result.Verdict))
	}
	return counts{disagree: 1}
}

// print prints the table, and why cases are not agreed on.
func (t *table) print() error {
	w := tabwriter.NewWriter(t.w, 2, 8, 2, ' ', tabwriter.AlignRight)
	sum := row{folder: "all"}
	fmt.Fprintln(w, "folder\tjudge\tagree\tuntested\tundecided\tknown\tdiffer\ttime\t")
	line := func(r *row) {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\t\n", r.folder, r.judge, r.agree,
			r.untested, r.undecided, r.known, r.disagree, r.took.Round(time.Millisecond))
	}
	for _, r := range t.rows {
		line(r)
		sum.plus(r.counts)
		sum.took += r.took
	}
	line(&sum)
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	for _, reason := range slices.Sorted(maps.Keys(t.reasons)) {
		fmt.Fprintf(t.w, "%6d %s\n", t.reasons[reason], reason)
	}
	if sum.disagree > 0 {
		return fmt.Errorf("%w: %d", errDiffer, sum.disagree)
	}
	return nil
}
