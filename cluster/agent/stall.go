package agent

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
)

// stall freezes a volume of its own, as volume made it, again and again: whoever writes to it
// or syncs meanwhile waits. A daemon does it, which ends without a word of the controller;
// a guard beside it thaws the volume if the daemon is killed.
type stall struct {
	// Volume is the record of the volume. No other filesystem is ever frozen.
	Volume string `json:"volume"`
	// Delay is how long it is frozen each time, Gap for how long it then works.
	Delay time.Duration `json:"delay"`
	Gap   time.Duration `json:"gap"`
	// Lease is how long the daemon lives without a question.
	Lease time.Duration `json:"lease"`
	Proc  procFS        `json:"proc"`

	// Mount is where the volume is mounted; the processes of Marker and PIDs use it.
	Mount  string `json:"mount"`
	Marker string `json:"marker,omitempty"`
	PIDs   []int  `json:"pids,omitempty"`
	// Record is the file of this record, which the daemon reads.
	Record string `json:"record"`
}

// StallStatus is what a stalled volume has done to those who use it.
type StallStatus struct {
	State  State  `json:"state"`
	Reason string `json:"reason,omitempty"`
	StallCounts
}

// StallCounts only grow.
type StallCounts struct {
	Freezes int64 `json:"freezes"`
	// Slow is how many syncs of the agent itself took at least half of the delay, Slowest
	// how long the longest took.
	Slow    int64         `json:"slow"`
	Slowest time.Duration `json:"slowest"`
	// Waiting is at the end of how many freezes a thread of the processes was seen to wait
	// for a disk, uninterruptibly.
	Waiting int64 `json:"waiting"`
	// Failed says what does not work.
	Failed string `json:"failed,omitempty"`
}

const (
	kindStall = "stall"
	// stallLeast and stallMost bound the times: the kernel warns of longer ones.
	stallLeast = 50 * time.Millisecond
	stallMost  = 30 * time.Second
	// syncEvery is the time between two syncs that are measured.
	syncEvery = 10 * time.Millisecond
	// measuredFile is the file that is synced, beside the data.
	measuredFile = ".ordeal-sync"
	guardLock    = "guard.lock"
)

func (*stall) kind() string { return kindStall }

func (x *stall) validate() error {
	if x.Delay < stallLeast || x.Delay > stallMost || x.Gap < stallLeast || x.Gap > stallMost {
		return fmt.Errorf("%w: frozen for %v, then not for %v: from %v to %v each", ErrUsage, x.Delay,
			x.Gap, stallLeast, stallMost)
	}
	return nil
}

// stallCommands are those of a volume that is frozen.
func stallCommands(out io.Writer) []*cobra.Command {
	slow := inflicting("slow", "Freeze a volume of its own again and again", out,
		func(cmd *cobra.Command) injury {
			x := &stall{Proc: "/proc"}
			flags := cmd.Flags()
			flags.StringVar(&x.Volume, "volume", "", "record of the volume")
			flags.DurationVar(&x.Delay, "delay", 300*time.Millisecond, "for how long each time")
			flags.DurationVar(&x.Gap, "gap", 100*time.Millisecond, "for how long it works then")
			flags.DurationVar(&x.Lease, "lease", DefaultLease,
				"thaw it after this time without a question")
			_ = cmd.MarkFlagRequired("volume")
			return x
		})
	return []*cobra.Command{slow, stallRun(), guardCommand(), syncCommand(out)}
}

// stallRun is the daemon.
func stallRun() *cobra.Command {
	var f daemonFlags
	cmd := &cobra.Command{
		Use: "slow-run", Short: "Freeze and thaw, in the foreground", Args: noArgs, Hidden: true,
	}
	path := recordFlag(cmd)
	f.all(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return runStall(cmd.Context(), f.DaemonConfig, *path, sayReady(f.readyFD))
	}
	return cmd
}

func guardCommand() *cobra.Command {
	var dir, mount string
	cmd := &cobra.Command{
		Use: "guard", Short: "Thaw a volume when its daemon is gone", Args: noArgs, Hidden: true,
		RunE: func(*cobra.Command, []string) error { return guard(dir, mount) },
	}
	cmd.Flags().StringVar(&dir, "dir", "", "directory of the daemon")
	cmd.Flags().StringVar(&mount, "mount", "", "where the volume is")
	return cmd
}

func syncCommand(out io.Writer) *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use: "sync", Short: "Write and sync, and print how long it took, for ever", Args: noArgs,
		Hidden: true,
		RunE:   func(*cobra.Command, []string) error { return keepSyncing(path, out) },
	}
	cmd.Flags().StringVar(&path, "path", "", "the file")
	return cmd
}
