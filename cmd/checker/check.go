package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/reports"
	"github.com/ordeal-dev/ordeal/run"
)

const latest = "store/latest"

// checkFlags are the flags of check.
type checkFlags struct {
	file        run.File
	form        string
	independent bool
	asJSON      bool
	limit       time.Duration
	memoryMB    int64
	engine      string
}

func newCheck(stop interrupts, std streams) *cobra.Command {
	var f checkFlags
	cmd := &cobra.Command{
		Use:     "check [PATH]",
		Short:   "Judge a recorded history again, or a history file of any tool",
		Long:    checkHelp(),
		Example: checkExamples,
		Args:    atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			path := latest
			if len(args) == 1 {
				path = args[0]
			}
			return f.run(cmd, stop, std, path)
		},
	}
	d := run.Default()
	flags := cmd.Flags()
	flags.StringVarP(&f.file.Model, "model", "m", "",
		"check linearizability against this model")
	flags.StringVarP(&f.file.Checker, "checker", "c", "", "judge by this checker")
	flags.StringVar(&f.file.Isolation, "isolation", "",
		"isolation level that is claimed of transactions, or guarantees of sessions "+
			"(default: the strongest)")
	flags.StringVar(&f.file.KeyOrder, "keys", "", "what is claimed of single registers of "+
		"transactions beside that: linearizable or sequential")
	flags.IntVar(&f.file.StaleVersions, "stale-versions", 0,
		"by how many versions reads may be stale, for the checker staleness (0: any number)")
	flags.DurationVar(&f.file.StaleTime, "stale-time", 0,
		"for how long what reads return may have been replaced, for staleness (0: any time)")
	flags.StringVar(&f.form, "format", "", "format of the file (default: what it looks like)")
	flags.BoolVar(&f.independent, "independent", false,
		"split all values of the file, which are [key, value]; =false: none of them is")
	flags.BoolVar(&f.file.Refusals, "refusals", false,
		"a failure that may be an answer is one: a compare that did not match, an empty queue")
	flags.BoolVar(&f.file.NilUnknown, "nil-unknown", false,
		"a read that returned nil tells nothing (Knossos), not that there was nothing")
	flags.BoolVar(&f.asJSON, "json", false, "print the whole result as JSON")
	flags.DurationVar(&f.limit, "check-time", d.CheckTime, "time limit of the checkers")
	flags.Int64Var(&f.memoryMB, "check-memory", d.CheckMemory>>20,
		"memory limit of the checkers, MiB")
	engineFlag(cmd, &f.engine)
	return cmd
}

// run judges what is at path.
func (f *checkFlags) run(cmd *cobra.Command, stop interrupts, std streams, path string) error {
	if err := check.ValidateEngine(f.engine); err != nil {
		return usage(err)
	}
	file := f.file
	file.Limits = run.CheckLimits{Time: f.limit, Memory: f.memoryMB << 20, Engine: f.engine}
	if f.form != "" {
		form, err := history.ParseForm(f.form)
		if err != nil {
			return usage(err)
		}
		file.Form = form
	}
	split := cmd.Flags().Changed("independent")
	file.Independent, file.Plain = split && f.independent, split && !f.independent
	if file.Model != "" || file.Checker != "" {
		file.Out, file.Terminal = std.err, isTerminal(std.err)
		return checkFile(stop, std, path, file, f.asJSON)
	}
	ofFiles := []string{"independent", "format", "refusals", "isolation", "keys", "nil-unknown",
		"stale-versions", "stale-time"}
	for _, name := range ofFiles {
		if cmd.Flags().Changed(name) {
			return usage(fmt.Errorf("--%s is for a history file by itself: it needs --model or "+
				"--checker", name))
		}
	}
	return checkRun(stop, std, path, file.Limits, f.asJSON)
}

func checkRun(
	stop interrupts, std streams, path string, limits run.CheckLimits, asJSON bool,
) error {
	info, err := os.Stat(path)
	if path == "-" {
		return usage(errors.New("check -: a history by itself needs --model or --checker to say " +
			"what it is of"))
	}
	if err != nil {
		return usage(fmt.Errorf("check %s: %w", path, errors.Unwrap(err)))
	}
	if !info.IsDir() {
		has, err := run.Suggest(path, history.AnyForm)
		if err != nil {
			return usage(err)
		}
		return usage(fmt.Errorf("check %s: a history file by itself needs --model or --checker to "+
			"say what it is of; %s", path, has))
	}
	dir, err := filepath.EvalSymlinks(path)
	if err != nil {
		return usage(fmt.Errorf("check %s: %w", path, err))
	}
	out, err := run.Check(stop.gentle, dir, limits)
	if out.Result != nil {
		found(out.Result.Verdict)
		tellStep(std, out)
		if asJSON {
			err = errors.Join(printJSON(std.out, *out.Result), err)
		} else {
			printOutcome(std.out, out)
		}
		return judged(std, out.Result.Verdict, err)
	}
	return ofRun(err)
}

// ofRun marks the error of a path that leads to no run as the user's.
func ofRun(err error) error {
	if errors.Is(err, run.ErrNoRun) {
		return usage(err)
	}
	return err
}

// printJSON writes a result for programs.
func printJSON(w io.Writer, r check.Result) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(r); err != nil {
		return fmt.Errorf("print the result: %w", err)
	}
	return nil
}

func checkFile(
	stop interrupts, std streams, path string, file run.File, asJSON bool,
) error {
	if file.Model != "" && file.Checker != "" {
		return usage(errors.New("--model and --checker exclude each other"))
	}
	result, err := run.CheckFile(stop.gentle, path, file)
	if err != nil {
		return usage(err)
	}
	found(result.Verdict)
	if asJSON {
		return judged(std, result.Verdict, printJSON(std.out, result))
	}
	fmt.Fprintf(std.out, "verdict: %s\n%s\n", strings.ToUpper(result.Verdict.String()), result.Reason)
	for _, c := range result.Counterexamples {
		fmt.Fprintf(std.out, "\nkey %q: %s\n", c.Key, c.Why)
		if c.Before != "" {
			fmt.Fprintf(std.out, "  before: %s\n", c.Before)
		}
		for i, op := range c.Ops {
			mark := reports.Culprit(result.Name, c, i)
			if mark != "" {
				mark = "  <- " + mark
			}
			fmt.Fprintf(std.out, "  process %-5d %s %s\n", op.Process, op.Describe, mark)
		}
	}
	return verdictReached{result.Verdict}
}

func newReport(std streams) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "report [DIR]",
		Short: "Write the report of a checked run again",
		Long: `Report writes report.html, junit.xml and summary.md of a run's directory (default:
` + latest + `) from what is stored there, and prints the path of the page. With
--format markdown it prints the summary itself, as GitHub shows it on the page of a
build: in a workflow, test and check add it there by themselves.`,
		Example: `  checker report store/latest
  checker report --format markdown > summary.md`,
		Args: atMostOne,
		RunE: func(_ *cobra.Command, args []string) error {
			if format != "html" && format != "markdown" {
				return usage(fmt.Errorf("format %q is not known: want html or markdown", format))
			}
			path := latest
			if len(args) == 1 {
				path = args[0]
			}
			dir, err := filepath.EvalSymlinks(path)
			if err != nil {
				return usage(fmt.Errorf("report %s: %w", path, errors.Unwrap(err)))
			}
			out, err := run.Report(dir)
			if err != nil {
				return ofRun(err)
			}
			if format == "html" {
				_, err = fmt.Fprintln(std.out, out.Report)
				return err
			}
			text, err := os.ReadFile(out.Summary)
			if err == nil {
				_, err = std.out.Write(text)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&format, "format", "html", "what to tell: html (the page's path) or "+
		"markdown (the summary)")
	return cmd
}

func newHeal(std streams) *cobra.Command {
	return &cobra.Command{
		Use:   "heal [DIR]",
		Short: "Clean up after a checker that was killed",
		Long: `Heal reads the ledger of a run's directory (default: ` + latest + `) and undoes what
was not undone: frozen processes are resumed, processes that were left running
are ended. It touches only what the ledger proves to be the run's own, and may be
called any number of times.`,
		Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			path := latest
			if len(args) == 1 {
				path = args[0]
			}
			dir, err := filepath.EvalSymlinks(path)
			if err != nil {
				return usage(fmt.Errorf("heal %s: %w", path, errors.Unwrap(err)))
			}
			lines, err := run.Heal(cmd.Context(), dir)
			for _, l := range lines {
				fmt.Fprintln(std.out, l)
			}
			return ofRun(err)
		},
	}
}

// engineFlag lets users choose what decides linearizability.
func engineFlag(cmd *cobra.Command, engine *string) {
	cmd.Flags().StringVar(engine, "engine", *engine, "what decides linearizability: "+
		strings.Join(check.Engines(), ", ")+" (default "+check.Engines()[0]+")")
}
