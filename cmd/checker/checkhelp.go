package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/ordeal-dev/ordeal/check/session"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/models"
	"github.com/ordeal-dev/ordeal/run"
)

const checkExamples = `  checker check
  checker check store/latest
  checker check --model cas-register history.edn
  checker check --model register --independent untagged.edn
  checker check --model cas-register --refusals etcd.log
  checker check --checker set-full history.jsonl.zst
  checker check --checker list-append --isolation snapshot-isolation history.edn
  checker check --checker session-levels --isolation causal plume.txt
  checker check --checker session-guarantees --isolation pram register.edn
  checker check --checker staleness --stale-versions 2 --stale-time 500ms register.edn
  zcat history.edn.gz | checker check --checker list-append -
  checker check --checker bank --json history.json | jq .verdict`

// checkHelp explains check, with tables of what there is.
func checkHelp() string {
	forms, formDocs := history.Forms()
	checkers, checkerDocs := run.Checkers()
	var modelNames, modelDocs []string
	for _, m := range models.All() {
		modelNames, modelDocs = append(modelNames, m.Name), append(modelDocs, m.Doc)
	}
	return `Check judges a run's directory (default: ` + latest + `) as its test would have:
also one that was cut off by SIGKILL, in which case it judges what was recorded.

It also judges a history file of this or another tool by itself, or one from
standard input (-), plain or compressed by gzip or zstd. Say what the history is
of: either --model, for linearizability (each operation takes effect at one
instant between its call and its return), or --checker, for something else. Keys
are judged one by one, on all processors.

What the verdict is, the exit status says: 0 valid, 1 invalid, 2 unknown, 254 the
file or the arguments make no sense. A file that ends inside a line cannot be
valid. What is wrong with a file is told with line and column; nothing of it is
skipped or guessed.

Formats, told apart by what is in the file, or forced by --format:
` + helpTable(forms, formDocs) + `
Histories of independent keys (jepsen.independent) have values [key value]. With
their tags, #jepsen.independent/tuple [1 5], the keys are told apart by
themselves. Tools that copy histories lose the tags, and nothing tells [1 5] from
a list of two: say --independent then. It splits the value of every operation
that has no key, and every one must be such a pair, like these three:

  {:process 0, :type :invoke, :f :write, :value [1 5]}
  {:process 0, :type :ok,     :f :write, :value [1 5]}
  {:process 1, :type :invoke, :f :read,  :value [1 nil]}

An operation that failed is taken for one that had no effect and tells nothing.
If a failed compare-and-set can only mean that the value was another one, or a
failed dequeue that the queue was empty, say --refusals: it is an answer then,
and judged as one.

Models, for --model:
` + helpTable(modelNames, modelDocs) + `
Checkers, for --checker:
` + helpTable(checkers, checkerDocs) + `
List-append and rw-register judge the isolation level that --isolation claims, by
default the strongest, and tell which other levels the history keeps. From strong
to weak: ` + wrap(run.Levels(), len("to weak: "), 80) + `.
Those are Adya's. What the checkers of weak levels call causal, read-atomic and
read-committed has the order of sessions, and lets updates be lost: that is what
session-levels judges.

Session-guarantees judges what --isolation names of these, one or several joined by
+, by default the first, and tells which of them the history keeps:
` + session.Names() + `.

docs/HISTORIES.md has the formats in detail, with examples of each.`
}

// wrap joins words to lines of at most width columns, the first of which begins at col.
func wrap(words []string, col, width int) string {
	var b strings.Builder
	for i, w := range words {
		if i < len(words)-1 {
			w += ","
		}
		switch {
		case i > 0 && col+1+len(w) > width:
			b.WriteByte('\n')
			col = 0
		case i > 0:
			b.WriteByte(' ')
			col++
		}
		b.WriteString(w)
		col += len(w)
	}
	return b.String()
}

// helpTable lists names with what they mean.
func helpTable[N ~string](names []N, docs []string) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 2, 8, 2, ' ', 0)
	for i, name := range names {
		fmt.Fprintf(w, "  %s\t%s\n", name, docs[i])
	}
	w.Flush() // a strings.Builder takes everything
	return b.String()
}
