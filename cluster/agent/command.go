package agent

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

// Command returns "agent" with all its subcommands, hidden from a user's help: the
// controller calls them. Results go to out, one JSON value each.
func Command(in io.Reader, out io.Writer) *cobra.Command {
	cmd := &cobra.Command{
		Use:    "agent",
		Short:  "Work on a node, called by a controller",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE:   needSubcommand,
	}
	cmd.AddCommand(queueCommand(in, out), probeCommand(out), fileCommand(out), diskCommand(out),
		processCommand(out), cpuCommand(out), memoryCommand(out), clockCommand(out),
		volumeCommand(out), injuryCommand(out), undoCommand(out))
	return cmd
}

func needSubcommand(cmd *cobra.Command, _ []string) error {
	return fmt.Errorf("%w: %s needs a subcommand", ErrUsage, cmd.CommandPath())
}

// noArgs refuses arguments.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%w: %s takes no arguments, got %q", ErrUsage, cmd.CommandPath(), args)
	}
	return nil
}

// print writes a result.
func print(out io.Writer, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	_, err = out.Write(append(text, '\n'))
	return err
}

// daemonFlags are those that all daemons share.
type daemonFlags struct {
	DaemonConfig
	readyFD int
	timeout time.Duration
}

func (f *daemonFlags) dir(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.Dir, "dir", "", "directory of this daemon alone")
	_ = cmd.MarkFlagRequired("dir")
}

func (f *daemonFlags) all(cmd *cobra.Command) {
	f.dir(cmd)
	cmd.Flags().StringVar(&f.Instance, "instance", "", "the controller's name for this daemon")
	cmd.Flags().DurationVar(&f.Lease, "lease", DefaultLease,
		"end after this time without a word of the controller")
	cmd.Flags().IntVar(&f.readyFD, "ready-fd", 0, "descriptor on which to say that it works")
	_ = cmd.Flags().MarkHidden("ready-fd")
}

func (f *daemonFlags) args() []string {
	return []string{"--dir", f.Dir, "--instance", f.Instance, "--lease", f.Lease.String()}
}

func queueCommand(in io.Reader, out io.Writer) *cobra.Command {
	cmd := &cobra.Command{
		Use: "queue", Short: "Decide about the packets of an NFQUEUE", Args: noArgs,
		RunE: needSubcommand,
	}
	cmd.AddCommand(queueRun(), queueStart(out), queueSet(in, out),
		statusCommand(out, kindQueue), stopCommand(out, kindQueue))
	return cmd
}

// queueFlags are those of run and start.
type queueFlags struct {
	daemonFlags
	QueueConfig
}

func (f *queueFlags) add(cmd *cobra.Command) {
	f.all(cmd)
	cmd.Flags().Uint16Var(&f.Number, "queue-num", 0, "number of the queue")
	cmd.Flags().Uint32Var(&f.Mark, "mark", BypassMark, "mark of the packets that the agent sends")
	cmd.Flags().Uint64Var(&f.Seed, "seed", 0, "decides all choices")
	_ = cmd.MarkFlagRequired("queue-num")
}

func queueRun() *cobra.Command {
	var f queueFlags
	cmd := &cobra.Command{
		Use: "run", Short: "Run in the foreground", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return RunQueue(cmd.Context(), f.DaemonConfig, f.QueueConfig, sayReady(f.readyFD))
		},
	}
	f.add(cmd)
	return cmd
}

func queueStart(out io.Writer) *cobra.Command {
	var f queueFlags
	cmd := &cobra.Command{
		Use: "start", Short: "Start, detached", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			args := append([]string{"agent", "queue", "run"}, f.args()...)
			args = append(args,
				"--queue-num", strconv.Itoa(int(f.Number)),
				"--mark", strconv.FormatUint(uint64(f.Mark), 10),
				"--seed", strconv.FormatUint(f.Seed, 10))
			s, err := start(cmd.Context(), f.DaemonConfig, kindQueue, args)
			if err != nil {
				return err
			}
			return print(out, s)
		},
	}
	f.add(cmd)
	return cmd
}

func queueSet(in io.Reader, out io.Writer) *cobra.Command {
	var f daemonFlags
	var path string
	cmd := &cobra.Command{
		Use: "set", Short: "Put rules in force", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := readRules(in, path)
			if err != nil {
				return err
			}
			rules, err := DecodeRules(text)
			if err != nil {
				return fmt.Errorf("%w: %w", ErrUsage, err)
			}
			s, err := SetRules(cmd.Context(), f.Dir, rules)
			if err != nil {
				return err
			}
			return print(out, s)
		},
	}
	f.dir(cmd)
	cmd.Flags().StringVar(&path, "rules", "", "file with the rules; else standard input")
	return cmd
}

func readRules(in io.Reader, path string) ([]byte, error) {
	if path != "" {
		return os.ReadFile(path)
	}
	return io.ReadAll(in)
}

func statusCommand(out io.Writer, kind string) *cobra.Command {
	var f daemonFlags
	cmd := &cobra.Command{
		Use: "status", Short: "Print state and counters", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := inspect(cmd.Context(), f.Dir, kind)
			if err != nil {
				return err
			}
			return print(out, s)
		},
	}
	f.dir(cmd)
	return cmd
}

func stopCommand(out io.Writer, kind string) *cobra.Command {
	var f daemonFlags
	cmd := &cobra.Command{
		Use: "stop", Short: "Stop, and print the last status", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := stop(cmd.Context(), f.Dir, kind, f.timeout)
			if err != nil {
				return err
			}
			return print(out, s)
		},
	}
	f.dir(cmd)
	cmd.Flags().DurationVar(&f.timeout, "timeout", 5*time.Second, "kill it after this time")
	return cmd
}
