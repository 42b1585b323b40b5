package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/reports/export"
)

// exportFlags are those of `checker export`.
type exportFlags struct {
	format, from, out string
	events            bool
	independent       bool
}

func newExport(std streams) *cobra.Command {
	var f exportFlags
	cmd := &cobra.Command{
		Use:     "export [DIR|FILE]",
		Short:   "Write a history as Parquet, CSV, EDN or JSON, for other tools",
		Long:    exportHelp(),
		Example: exportExamples,
		Args:    atMostOne,
		RunE: func(_ *cobra.Command, args []string) error {
			path := latest
			if len(args) == 1 {
				path = args[0]
			}
			return f.run(std, path)
		},
	}
	names, _ := export.Formats()
	flags := cmd.Flags()
	flags.StringVarP(&f.format, "format", "f", "", "what to write: "+joined(names))
	flags.StringVarP(&f.out, "out", "o", "-", "file to write; - is standard output")
	flags.BoolVar(&f.events, "events", false,
		"a row of the table is an event, not an operation; with those of the nemesis")
	flags.StringVar(&f.from, "from", "", "format of the history (default: what it looks like)")
	flags.BoolVar(&f.independent, "independent", false,
		"split all values of the history, which are [key, value]")
	return cmd
}

const exportExamples = `  checker export --format parquet -o run.parquet
  checker export --format edn store/latest | less
  checker export --format jsonl jepsen/history.edn.gz -o history.jsonl
  checker export --format elle-json store/latest -o history.json
  duckdb -c "select f, type, count(*), median(return_ns - call_ns) / 1e6 as ms
             from 'run.parquet' group by all"`

func exportHelp() string {
	names, docs := export.Formats()
	return `Export writes the history of a run's directory (default: ` + latest + `), or any
history file that check reads, in the format of another tool. Standard input is -.

Formats, for --format:
` + helpTable(names, docs) + `
A row of a table (parquet, csv) is an operation, in the order in which they ended:

  index      place of the invocation in the history
  process    the client
  f, key     what it did, to which object
  call_ns    when, in nanoseconds since the start of the test
  return_ns  null if nobody knows whether it took effect
  type       ok, fail or info
  input      its argument, JSON      output  its result, JSON
  error      what the client was told

With --events it is an event: index, time_ns, process (-1: the nemesis), type, f,
key, value, error.

What is written as edn or jsonl is judged by checker check as the history itself
is. Memory does not grow with the history. A file appears under its name only
when it is whole.`
}

func joined[N ~string](names []N) string {
	words := make([]string, len(names))
	for i, n := range names {
		words[i] = string(n)
	}
	return strings.Join(words, ", ")
}

func (f *exportFlags) run(std streams, path string) error {
	if f.format == "" {
		names, _ := export.Formats()
		return usage(fmt.Errorf("export needs --format: one of %s", joined(names)))
	}
	format, err := export.ParseFormat(f.format)
	if err != nil {
		return usage(err)
	}
	o := export.Options{
		Format: format, Events: f.events, Load: history.LoadOptions{Independent: f.independent},
	}
	if f.from != "" {
		if o.Load.Form, err = history.ParseForm(f.from); err != nil {
			return usage(err)
		}
	}
	if f.events && format != export.Parquet && format != export.CSV {
		return usage(fmt.Errorf("--events is for tables: %s has the events anyway", format))
	}
	var done export.Written
	if f.out == "-" {
		if format.Binary() && isTerminal(std.out) {
			return usage(fmt.Errorf("%s is nothing for a terminal: say -o FILE", format))
		}
		done, err = export.Write(std.out, path, o)
	} else {
		done, err = exportFile(f.out, path, o)
	}
	switch {
	case err != nil && (export.IsOutput(err) || errors.Is(err, errNoFile)):
		return err
	case err != nil:
		return usage(err)
	}
	if done.Torn {
		fmt.Fprintf(std.err, "checker: %s ends inside a line, which is left out\n", path)
	}
	return nil
}

// errNoFile says that the file to be written could not be.
var errNoFile = errors.New("cannot be written")

// exportFile writes a file, which gets its name when it is whole.
func exportFile(name, path string, o export.Options) (done export.Written, err error) {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return done, fmt.Errorf("%s %w: %w", name, errNoFile, err)
	}
	done, err = export.Write(io.Writer(f), path, o)
	bad := errors.Join(f.Chmod(0o644), f.Close())
	if err == nil && bad == nil {
		bad = os.Rename(f.Name(), name)
	}
	if err == nil && bad == nil {
		return done, nil
	}
	if bad != nil {
		bad = fmt.Errorf("%s %w: %w", name, errNoFile, bad)
	}
	return done, errors.Join(err, bad, os.Remove(f.Name()))
}
