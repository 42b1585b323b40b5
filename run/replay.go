package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ordeal-dev/ordeal/nemesis"
)

// Replayed is what came out of a replay.
type Replayed struct {
	Outcome
	// Original is the directory of the run that was repeated.
	Original string
	// Exact says that the run was simulated, so that its history had to be the same; Same
	// that it is, and if not, Difference is the first line that differs.
	Exact, Same bool
	Difference  string
	// Bytes is the length of the history.
	Bytes int
}

// ErrOtherHistory says that a replay in virtual time gave another history.
var ErrOtherHistory = errors.New("the replay gave another history")

// Replay runs the test of a stored run again: its seed, operations, faults and times. On
// processes the faults hit the nodes that they hit, also those that were chosen by who led,
// as far as the ledger knows; what the system makes of it may differ. In the simulator
// nothing differs: another history is ErrOtherHistory, beside the outcome. The new run goes
// into the store, or beside the old one if that is empty.
func Replay(ctx context.Context, dir, store string, env Env) (Replayed, error) {
	cfg, clean, err := replayConfig(dir, store)
	if err != nil {
		return Replayed{}, fmt.Errorf("replay: %w", err)
	}
	defer clean()
	r := Replayed{Original: dir}
	if r.Outcome, err = Run(ctx, cfg, env); err != nil || r.Result == nil {
		return r, err
	}
	if w, _ := wayNamed(cfg.Cluster); !w.virtual {
		return r, nil
	}
	old, err := os.ReadFile(filepath.Join(dir, historyFile))
	if err != nil {
		return r, fmt.Errorf("replay: %w", err)
	}
	again, err := os.ReadFile(filepath.Join(r.Dir, historyFile))
	if err != nil {
		return r, fmt.Errorf("replay: %w", err)
	}
	r.Exact, r.Same, r.Bytes = true, bytes.Equal(old, again), len(again)
	if !r.Same {
		r.Difference = firstDifference(old, again)
		return r, fmt.Errorf("%w: %s", ErrOtherHistory, r.Difference)
	}
	return r, nil
}

// replayConfig is the test of a stored run with its schedule of faults.
func replayConfig(dir, store string) (Config, func(), error) {
	test, err := LoadTest(dir)
	if err != nil {
		return Config{}, nil, err
	}
	cfg := test.Config
	if cfg.Store = store; store == "" {
		cfg.Store = filepath.Dir(filepath.Dir(filepath.Clean(dir)))
	}
	if own := filepath.Join(dir, operationsFile); cfg.Operations != "" {
		cfg.Operations = own
	}
	cfg.Schedule, cfg.Noise = filepath.Join(dir, scheduleFile), false // which is a step of it
	if w, err := wayNamed(cfg.Cluster); err != nil || w.virtual {
		return cfg, func() {}, err
	}
	steps, err := pinned(dir)
	if err != nil {
		return cfg, nil, err
	}
	own, err := os.MkdirTemp("", "ordeal-replay-")
	if err != nil {
		return cfg, nil, err
	}
	cfg.Schedule = filepath.Join(own, scheduleFile)
	clean := func() { _ = os.RemoveAll(own) }
	if err := writeSchedule(cfg.Schedule, steps); err != nil {
		clean()
		return cfg, nil, err
	}
	return cfg, clean, nil
}

// pinned is a stored schedule in which every fault names the nodes that it hit.
func pinned(dir string) ([]nemesis.Step, error) {
	steps, err := nemesis.ReadScheduleFile(filepath.Join(dir, scheduleFile))
	if err != nil {
		return nil, err
	}
	entries, _, err := nemesis.ReadLedger(filepath.Join(dir, ledgerFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	hit := map[int64][]nemesis.Node{}
	for _, e := range entries {
		if e.Type == nemesis.EntryIntent && e.Intent != nil {
			hit[e.Fault] = e.Intent.Nodes
		}
	}
	for i, s := range steps {
		if nodes := hit[s.ID]; s.Target == nemesis.TargetPrimaries && len(nodes) > 0 {
			steps[i].Nodes, steps[i].Target, steps[i].Else = nodes, nemesis.TargetNodes, nil
		}
	}
	return steps, nil
}

// firstDifference shows the first line in which two histories differ.
func firstDifference(a, b []byte) string {
	x, y := bytes.Split(a, []byte("\n")), bytes.Split(b, []byte("\n"))
	for i := range min(len(x), len(y)) {
		if !bytes.Equal(x[i], y[i]) {
			return fmt.Sprintf("line %d was %.300s, and is %.300s", i+1, x[i], y[i])
		}
	}
	return fmt.Sprintf("it had %d lines, and has %d", len(x), len(y))
}
