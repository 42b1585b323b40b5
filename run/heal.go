package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ordeal-dev/ordeal/cluster/local"
	"github.com/ordeal-dev/ordeal/internal/crash"
	"github.com/ordeal-dev/ordeal/nemesis"
)

const healTime = 30 * time.Second

// Heal undoes what the run in dir left behind when its checker was killed, and
// says in words what it found. What it cannot undo is an error.
func Heal(ctx context.Context, dir string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, healTime)
	defer cancel()
	// A directory that is no run must not get a lock and a ledger.
	if _, err := os.Stat(filepath.Join(dir, testFile)); err != nil {
		return nil, fmt.Errorf("heal: %s %w: %w", dir, ErrNoRun, err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, fmt.Errorf("heal %w", err)
	}
	defer lock.release()
	path := filepath.Join(dir, ledgerFile)
	ledger, err := nemesis.OpenLedger(path)
	if err != nil {
		return nil, fmt.Errorf("heal %s: %w", dir, err)
	}
	lines, err := healLedger(ctx, dir, ledger)
	if err == nil {
		err = removeProgram(dir) // no process is left that runs it
	}
	if err := errors.Join(err, ledger.Close()); err != nil {
		return lines, fmt.Errorf("heal %s: %w", dir, err)
	}
	return lines, nil
}

// crashed ends the nodes after a panic of the harness, frozen ones included, and with
// the program its links end, too. It trusts only what the ledger has on disk. The
// ledger stays as it is: heal settles it.
func (c *conductor) crashed(crash.Panic) {
	ctx, cancel := context.WithTimeout(context.Background(), tearDownTime)
	defer cancel()
	entries, _, err := nemesis.ReadLedger(filepath.Join(c.dir, ledgerFile))
	if err == nil {
		_, err = local.Heal(ctx, nemesis.OutstandingIn(entries).Processes)
	}
	if err != nil {
		fmt.Fprintf(c.env.Out, "not everything was undone, try checker heal %s: %v\n", c.dir, err)
	}
}

// healLedger ends the processes that the ledger lists as running, and takes back what
// was done to their files. The links of a local cluster lived in the killed checker
// and ended with it, so that its network faults are over, too, once no process is
// left.
func healLedger(ctx context.Context, dir string, ledger *nemesis.Ledger) ([]string, error) {
	left := ledger.Outstanding()
	if left.Empty() {
		return []string{"nothing to heal: everything was undone"}, nil
	}
	var lines []string
	healed, err := local.Heal(ctx, left.Processes)
	for _, h := range healed {
		lines = append(lines, describe(h))
	}
	if err != nil {
		return lines, err
	}
	var errs []error
	for _, p := range left.Processes {
		errs = append(errs, ledger.ProcessEnded(p))
	}
	for _, f := range left.Faults {
		if err := local.Undo(dir, f.Undo); err != nil {
			errs = append(errs, fmt.Errorf("fault %d (%s): %w", f.ID, f.What, err))
			continue
		}
		errs = append(errs, ledger.FaultHealed(0, f.ID, nemesis.Evidence{
			Bit: true, Why: "no process of the cluster is left, and its links ended with its checker",
		}))
		lines = append(lines, fmt.Sprintf("fault %d (%s) is over", f.ID, f.What))
	}
	return lines, errors.Join(errs...)
}

func describe(h local.Healed) string {
	switch {
	case len(h.Killed) == 0:
		return fmt.Sprintf("node %s: its process was gone already", h.Record.Node)
	case h.Stopped:
		return fmt.Sprintf("node %s: resumed and ended process %d, which was frozen",
			h.Record.Node, h.Killed[0])
	default:
		return fmt.Sprintf("node %s: ended process %d", h.Record.Node, h.Killed[0])
	}
}
