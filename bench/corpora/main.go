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
// Where brute force decided, it is right. The status is 1 when a verdict differs that
// is not on the list of known differences.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
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
	folder, judge                     string
	agree, undecided, known, disagree int
	took                              time.Duration
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
	var rows []*row
	byName := make(map[[2]string]*row)
	for _, c := range cases {
		id := [2]string{c.folder, c.judge()}
		r := byName[id]
		if r == nil {
			r = &row{folder: c.folder, judge: c.judge()}
			byName[id], rows = r, append(rows, r)
		}
		r.add(w, c, outcomeOf(ctx, c), verbose)
	}
	return summary(w, rows)
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

// add counts an outcome, and tells what is wrong with it.
func (r *row) add(w io.Writer, c testCase, o outcome, verbose bool) {
	r.took += o.took
	why := o.result.Reason
	if o.err != nil {
		why = o.err.Error()
	}
	if len(why) > 300 {
		why = why[:300] + "…"
	}
	switch {
	case o.err == nil && o.result.Verdict == c.want:
		r.agree++
	case isKnown(c, o):
		r.known++
	case o.err == nil && o.result.Verdict == check.Unknown:
		r.undecided++
		if verbose {
			fmt.Fprintf(w, "undecided: %s by %s, want %s: %s\n", c.name, c.judge(), c.want, why)
		}
	case o.err != nil:
		r.disagree++
		fmt.Fprintf(w, "not judged: %s by %s, want %s: %s\n", c.name, c.judge(), c.want, why)
	default:
		r.disagree++
		fmt.Fprintf(w, "differs: %s by %s is %s, want %s: %s\n", c.name, c.judge(),
			o.result.Verdict, c.want, why)
	}
}

func summary(w io.Writer, rows []*row) error {
	t := tabwriter.NewWriter(w, 2, 8, 2, ' ', tabwriter.AlignRight)
	var sum row
	fmt.Fprintln(t, "folder\tjudge\tagree\tundecided\tknown\tdiffer\ttime\t")
	line := func(r *row) {
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%d\t%s\t\n", r.folder, r.judge, r.agree, r.undecided,
			r.known, r.disagree, r.took.Round(time.Millisecond))
	}
	for _, r := range rows {
		line(r)
		sum.agree += r.agree
		sum.undecided += r.undecided
		sum.known += r.known
		sum.disagree += r.disagree
		sum.took += r.took
	}
	sum.folder = "all"
	line(&sum)
	if err := t.Flush(); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	if sum.disagree > 0 {
		return fmt.Errorf("%w: %d", errDiffer, sum.disagree)
	}
	return nil
}
