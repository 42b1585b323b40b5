package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ordeal-dev/ordeal/models"
	"github.com/ordeal-dev/ordeal/run"
)

const latest = "store/latest"

func newCheck(stop interrupts, std streams) *cobra.Command {
	var (
		file     run.File
		limit    time.Duration
		memoryMB int64
	)
	cmd := &cobra.Command{
		Use:   "check [PATH]",
		Short: "Judge a recorded history again",
		Long: `Check judges a run's directory (default: ` + latest + `) as its test would have:
also one that was cut off by SIGKILL, in which case it judges what was recorded.

It also judges a history file by itself, this program's JSON lines or Jepsen's
EDN, when --model says what the history is of (linearizability), or --checker
names another judge. A file that ends inside a line cannot be valid.

Histories of independent keys (jepsen.independent) have values [key value]. With
their tags, #jepsen.independent/tuple [1 5], the keys are told apart by
themselves. Tools that copy histories lose the tags, and nothing tells [1 5] from
a list of two: say --independent then. It splits the value of every operation
that has no key, and every one must be such a pair, like these three:

  {:process 0, :type :invoke, :f :write, :value [1 5]}
  {:process 0, :type :ok,     :f :write, :value [1 5]}
  {:process 1, :type :invoke, :f :read,  :value [1 nil]}

Models: ` + strings.Join(modelNames(), ", ") + `.
Checkers: ` + strings.Join(run.CheckerNames(), ", ") + `.`,
		Example: `  checker check
  checker check store/latest
  checker check --model cas-register history.edn
  checker check --model cas-register --independent untagged.edn
  checker check --checker set-full history.jsonl`,
		Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			path := latest
			if len(args) == 1 {
				path = args[0]
			}
			file.Limits = run.CheckLimits{Time: limit, Memory: memoryMB << 20}
			if file.Model != "" || file.Checker != "" {
				return checkFile(stop, std, path, file)
			}
			if file.Independent {
				return usage(errors.New("--independent is for a history file by itself: " +
					"it needs --model or --checker"))
			}
			return checkRun(stop, std, path, file.Limits)
		},
	}
	d := run.Default()
	cmd.Flags().StringVarP(&file.Model, "model", "m", "",
		"check linearizability against this model")
	cmd.Flags().StringVar(&file.Checker, "checker", "", "judge by this checker")
	cmd.Flags().BoolVar(&file.Independent, "independent", false,
		"split all values of the file, which are [key value]")
	cmd.Flags().DurationVar(&limit, "check-time", d.CheckTime, "time limit of the checkers")
	cmd.Flags().Int64Var(&memoryMB, "check-memory", d.CheckMemory>>20,
		"memory limit of the checkers, MiB")
	return cmd
}

func modelNames() []string {
	var names []string
	for _, m := range models.All() {
		names = append(names, m.Name)
	}
	return names
}

func checkRun(stop interrupts, std streams, path string, limits run.CheckLimits) error {
	info, err := os.Stat(path)
	if err != nil {
		return usage(fmt.Errorf("check %s: %w", path, errors.Unwrap(err)))
	}
	if !info.IsDir() {
		return usage(fmt.Errorf(
			"check %s: a history file by itself needs --model or --checker to say what it is of", path))
	}
	dir, err := filepath.EvalSymlinks(path)
	if err != nil {
		return usage(fmt.Errorf("check %s: %w", path, err))
	}
	out, err := run.Check(stop.gentle, dir, limits)
	if out.Result != nil {
		found(out.Result.Verdict)
		printOutcome(std.out, out)
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

func checkFile(stop interrupts, std streams, path string, file run.File) error {
	if file.Model != "" && file.Checker != "" {
		return usage(errors.New("--model and --checker exclude each other"))
	}
	result, err := run.CheckFile(stop.gentle, path, file)
	if err != nil {
		return usage(err)
	}
	found(result.Verdict)
	fmt.Fprintf(std.out, "verdict: %s\n%s\n", strings.ToUpper(result.Verdict.String()), result.Reason)
	for _, c := range result.Counterexamples {
		fmt.Fprintf(std.out, "\nkey %q: %s\n", c.Key, c.Why)
		for _, op := range c.Ops {
			fmt.Fprintf(std.out, "  process %-5d %s %s\n", op.Process, op.Describe, culprit(op.Culprit))
		}
	}
	return verdictReached{result.Verdict}
}

func culprit(is bool) string {
	if is {
		return "  <- cannot be placed"
	}
	return ""
}

func newReport(std streams) *cobra.Command {
	return &cobra.Command{
		Use:   "report [DIR]",
		Short: "Write the report of a checked run again",
		Long: `Report writes report.html and junit.xml of a run's directory (default:
` + latest + `) from what is stored there.`,
		Args: atMostOne,
		RunE: func(_ *cobra.Command, args []string) error {
			path := latest
			if len(args) == 1 {
				path = args[0]
			}
			dir, err := filepath.EvalSymlinks(path)
			if err != nil {
				return usage(fmt.Errorf("report %s: %w", path, errors.Unwrap(err)))
			}
			file, err := run.Report(dir)
			if err != nil {
				return ofRun(err)
			}
			_, err = fmt.Fprintln(std.out, file)
			return err
		},
	}
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
