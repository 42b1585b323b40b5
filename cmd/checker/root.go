package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/cluster/agent"
)

// The exit statuses, Jepsen's.
const (
	exitValid   = 0
	exitInvalid = 1
	exitUnknown = 2
	exitUsage   = 254
	exitCrash   = 255
)

// interrupts are what Ctrl-C does, at the first and at the second time.
type interrupts struct {
	gentle, hard context.Context
}

// exit is an error that knows its exit status.
type exit struct {
	status int
	err    error
}

func (e exit) Error() string { return e.err.Error() }
func (e exit) Unwrap() error { return e.err }

// usage marks an error as the user's: exit status 254.
func usage(err error) error { return exit{status: exitUsage, err: err} }

// verdictReached carries a verdict to the exit status; it is printed already.
type verdictReached struct{ verdict check.Verdict }

func (v verdictReached) Error() string { return "verdict " + v.verdict.String() }

// streams are where a command writes.
type streams struct {
	out, err io.Writer
}

// execute runs the program and returns its exit status.
func execute(stop interrupts, args []string, out, errOut io.Writer) int {
	root := newRoot(stop, streams{out: out, err: errOut})
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errOut)
	return status(root.ExecuteContext(stop.gentle), errOut)
}

// status prints an error in one line and turns it into the exit status.
func status(err error, errOut io.Writer) int {
	var v verdictReached
	if errors.As(err, &v) {
		return map[check.Verdict]int{
			check.Valid: exitValid, check.Invalid: exitInvalid, check.Unknown: exitUnknown,
		}[v.verdict]
	}
	if err == nil {
		return exitValid
	}
	fmt.Fprintln(errOut, "checker:", oneLine(err))
	var e exit
	if errors.As(err, &e) {
		return e.status
	}
	if errors.Is(err, agent.ErrUsage) {
		return exitUsage
	}
	return exitCrash
}

// oneLine joins what errors.Join puts on lines of their own.
func oneLine(err error) string {
	return strings.Join(strings.Split(strings.TrimSpace(err.Error()), "\n"), "; ")
}

func newRoot(stop interrupts, std streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "checker",
		Short: "Test whether a distributed system keeps the consistency that it promises",
		Long: `Checker drives a distributed system with concurrent clients, hurts it, records
what every client saw, and decides from that record whether the system kept the
consistency that it promises.

Exit status: 0 valid, 1 invalid (a promise was broken), 2 unknown (the record
does not decide it), 254 bad arguments, 255 the checker itself failed.`,
		Example: `  checker demo
  checker test --workload cas-register --protocol paxos --time-limit 1m
  checker test --protocol quorum --workload register --bug abd-no-write-back
  checker check store/latest
  checker check --model cas-register history.jsonl`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noArguments,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage(fmt.Errorf("%w (see %s --help)", err, cmd.CommandPath()))
	})
	root.AddCommand(
		newTest(stop, std), newDemo(stop, std), newCheck(stop, std), newReport(std),
		newReplay(stop, std), newShrink(stop, std), newSoak(stop, std), newRecall(stop, std),
		newExport(std), newServe(stop, std), newInit(std), newDriverTest(std), newHeal(std),
		newList(std), newDoctor(std), newVersion(std),
		agent.Command(os.Stdin, std.out),
	)
	return root
}

// noArguments refuses arguments, with the status of a usage error.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.HasSubCommands() {
		return usage(fmt.Errorf("unknown command %q (see checker --help)", args[0]))
	}
	return usage(fmt.Errorf("%s takes no arguments, got %q", cmd.CommandPath(), args[0]))
}

// atMostOne takes one optional argument.
func atMostOne(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usage(fmt.Errorf("%s takes at most one argument, got %d",
			cmd.CommandPath(), len(args)))
	}
	return nil
}

func newVersion(std streams) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Args:  noArguments,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(std.out, "checker", version())
			return err
		},
	}
}

// version is the module's version, or the commit that the program was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && (v == "" || v == "(devel)") {
			v = s.Value
		}
	}
	if v == "" {
		v = "(devel)"
	}
	return v + " " + info.GoVersion
}

func logger(w io.Writer, verbose bool) *slog.Logger {
	if !verbose {
		// What a user has to know is in the notes and the report.
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
