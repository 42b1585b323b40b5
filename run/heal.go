package run

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/ordeal-dev/ordeal/internal/crash"
	"github.com/ordeal-dev/ordeal/nemesis"
)

const healTime = time.Minute

// Heal undoes what the run in dir left behind when its checker was killed, and
// says in words what it found. What it cannot undo is an error.
func Heal(ctx context.Context, dir string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, healTime)
	defer cancel()
	// A directory that is no run must not get a lock and a ledger.
	test, err := LoadTest(dir)
	if err != nil {
		return nil, fmt.Errorf("heal: %w", err)
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
	lines, err := healLedger(ctx, test.Config, dir, ledger)
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
	w, err := wayNamed(c.cfg.Cluster)
	entries, _, rerr := nemesis.ReadLedger(filepath.Join(c.dir, ledgerFile))
	if err = errors.Join(err, rerr); err == nil {
		_, err = w.heal(ctx, remains{
			cfg: c.cfg, dir: c.dir, left: nemesis.OutstandingIn(entries), ledger: noSettler{},
		})
	}
	if err != nil {
		fmt.Fprintf(c.env.Out, "not everything was undone, try checker heal %s: %v\n", c.dir, err)
	}
}

// healLedger takes away what the ledger lists, and takes back what was done to files.
func healLedger(
	ctx context.Context, cfg Config, dir string, ledger *nemesis.Ledger,
) ([]string, error) {
	left := ledger.Outstanding()
	if left.Empty() {
		return []string{"nothing to heal: everything was undone"}, nil
	}
	w, err := wayNamed(cfg.Cluster)
	if err != nil {
		return nil, err
	}
	lines, err := w.heal(ctx, remains{cfg: cfg, dir: dir, left: left, ledger: ledger})
	if err != nil {
		return lines, err
	}
	var errs []error
	for _, f := range left.Faults {
		if err := w.undo(dir, f); err != nil {
			errs = append(errs, fmt.Errorf("fault %d (%s): %w", f.ID, f.What, err))
			continue
		}
		errs = append(errs, ledger.FaultHealed(0, f.ID, nemesis.Evidence{Bit: true, Why: w.over}))
		lines = append(lines, fmt.Sprintf("fault %d (%s) is over", f.ID, f.What))
	}
	return lines, errors.Join(errs...)
}
