package run

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/workload"
)

// operationsFile has the operations of a run that repeats those of another: a history of
// invocations, in which an event of the nemesis, finalPart, begins those that come after
// healing. Their times count from then.
const (
	operationsFile = "operations.jsonl"
	finalPart      = history.F("final")
)

// script is what clients are to do.
type script struct {
	main, final []workload.Scripted
}

func (s script) size() int { return len(s.main) + len(s.final) }

// scriptOf takes the operations of a run as they were called. What was called after the
// recovery is the final part.
func scriptOf(h *history.History, t Test) script {
	recovered := history.Never
	for _, p := range t.Phases {
		if p.Name == phaseRecovery {
			recovered = p.End
		}
	}
	var s script
	for _, op := range h.Ops {
		r := workload.Scripted{
			Thread: int(int64(op.Process) % int64(t.Config.Concurrency)),
			Op:     workload.Op{F: op.F, Key: op.Key, Value: op.In, At: op.Call},
		}
		if op.Call < recovered {
			s.main = append(s.main, r)
			continue
		}
		r.Op.At -= recovered
		s.final = append(s.final, r)
	}
	return s
}

// write writes the script to a file.
func (s script) write(path, test string, seed uint64) error {
	b, err := history.Header{Format: history.Format, Test: test, Seed: seed}.AppendJSON(nil)
	if err != nil {
		return err
	}
	b = append(b, '\n')
	index := int64(0)
	add := func(e history.Event) {
		e.Index = index
		index++
		b = append(e.AppendJSON(b), '\n')
	}
	call := func(r workload.Scripted) {
		add(history.Event{
			Time: r.Op.At, Process: history.Process(r.Thread), Type: history.Invoke,
			F: r.Op.F, Key: r.Op.Key, Value: r.Op.Value,
		})
	}
	for _, r := range s.main {
		call(r)
	}
	add(history.Event{Process: history.Nemesis, Type: history.Info, F: finalPart})
	for _, r := range s.final {
		call(r)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		return fmt.Errorf("write operations: %w", err)
	}
	return nil
}

// scriptReader takes the events of a script.
type scriptReader struct {
	script
	inFinal bool
	err     error
}

func (r *scriptReader) take(e history.Event) {
	switch {
	case e.Process == history.Nemesis:
		r.inFinal = r.inFinal || e.F == finalPart
	case e.Type != history.Invoke || e.Process < 0:
		r.err = errors.Join(r.err, fmt.Errorf("event %d is no invocation", e.Index))
	default:
		op := workload.Scripted{
			Thread: int(e.Process),
			Op:     workload.Op{F: e.F, Key: e.Key, Value: e.Value, At: e.Time},
		}
		if r.inFinal {
			r.final = append(r.final, op)
		} else {
			r.main = append(r.main, op)
		}
	}
}

// readScript reads a script.
func readScript(path string) (script, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return script{}, fmt.Errorf("read operations: %w", err)
	}
	var r scriptReader
	_, lines, _ := bytes.Cut(b, []byte("\n")) // the header
	for line := range bytes.Lines(lines) {
		e, err := history.DecodeEvent(bytes.TrimRight(line, "\n"))
		if err != nil {
			return script{}, fmt.Errorf("read operations %s: %w", path, err)
		}
		r.take(e)
	}
	if r.err != nil {
		return script{}, fmt.Errorf("read operations %s: %w", path, r.err)
	}
	return r.script, nil
}

// generators are those of the clients, before and after healing.
func (c *conductor) generators(opts workload.Options) (main, final workload.Generator, err error) {
	if c.cfg.Operations == "" {
		return c.workload.Generator(opts), c.workload.Final(opts), nil
	}
	s, err := readScript(c.cfg.Operations)
	if err != nil {
		return nil, nil, err
	}
	// The test is over when its time is, which begins with the first operation, but in one of
	// which only late ones are left; then it is, whatever its clients have to do.
	until := history.Time(c.cfg.TimeLimit)
	if len(s.main) > 0 {
		until += min(s.main[0].Op.At, history.Time(time.Second))
	}
	main = workload.Script(c.cfg.Concurrency, s.main, until)
	main = workload.TimeLimit(c.cfg.TimeLimit+time.Second, main)
	return main, workload.ScriptFromNow(c.cfg.Concurrency, s.final), nil
}

// keepOperations puts a copy of the operations into the run's directory.
func (c *conductor) keepOperations() error {
	if c.cfg.Operations == "" {
		return nil
	}
	s, err := readScript(c.cfg.Operations)
	if err != nil {
		return err
	}
	return s.write(filepath.Join(c.dir, operationsFile), c.test.Name, c.cfg.Seed)
}
