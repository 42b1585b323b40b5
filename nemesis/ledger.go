package nemesis

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/ordeal-dev/ordeal/history"
)

// EntryType says what a line of the ledger records.
type EntryType string

// The types of ledger entries. Of a fault: intent, done, healing, healed, or
// skipped. Of a process: starting, started, ended. Of anything else that a cluster
// makes: making, gone. Of links: matrix, when a probe finds another than before. Of the
// whole: plan (what was asked for), baseline and final (the world verified before and
// after).
const (
	EntryPlan     EntryType = "plan"
	EntryBaseline EntryType = "baseline"
	EntryIntent   EntryType = "intent"
	EntryDone     EntryType = "done"
	EntryHealing  EntryType = "healing"
	EntryHealed   EntryType = "healed"
	EntrySkipped  EntryType = "skipped"
	EntryFinal    EntryType = "final"
	EntryStarting EntryType = "process-starting"
	EntryStarted  EntryType = "process-started"
	EntryEnded    EntryType = "process-ended"
	EntryMaking   EntryType = "resource-making"
	EntryGone     EntryType = "resource-gone"
	EntryMatrix   EntryType = "matrix"
)

// Intent is what is about to be done, and how to take it back.
type Intent struct {
	Step Step `json:"step"`
	// Nodes are the nodes that are hit, after all rules are resolved.
	Nodes []Node `json:"nodes"`
	// What describes the fault for a person: "n1 | n2 n3".
	What string `json:"what"`
	// Undo lists what takes the fault back, one action each: "clear fault-3",
	// "start n1", "resume n2", and those of UndoClock, UndoDisk, UndoFlip
	// and UndoInjury.
	Undo []string `json:"undo"`
	// Links are those that the fault disturbs; Cut says that nothing gets over them.
	Links []Link `json:"links,omitempty"`
	Cut   bool   `json:"cut,omitempty"`
}

// What else is in an Intent's Undo, each followed by a node: its clock has to be made
// true, its disk sound, a flipped bit of its log put back.
const (
	UndoClock = "true-clock"
	UndoDisk  = "sound-disk"
	UndoFlip  = "unflip"
)

// ProcessRecord identifies an operating-system process of a node.
type ProcessRecord struct {
	Node Node `json:"node"`
	// PID is 0 in a process-starting entry: it is not known yet.
	PID int `json:"pid,omitempty"`
	// Marker is a string that only processes of this run carry (in their
	// arguments or environment), so that a reused pid is never killed.
	Marker string `json:"marker"`
}

// Resource is anything but a process that a cluster makes and has to take away in the
// end: rules of a firewall, a directory, a network namespace. Its kind and name are all
// that is needed to take it away.
type Resource struct {
	// Node is where it is; empty: on the controller's own host.
	Node Node   `json:"node,omitempty"`
	Kind string `json:"kind"`
	Name string `json:"name"`
}

// String is as in "chain ORDEAL-1234abcd on n1".
func (r Resource) String() string {
	if r.Node == "" {
		return r.Kind + " " + r.Name
	}
	return fmt.Sprintf("%s %s on %s", r.Kind, r.Name, r.Node)
}

// Entry is one line of the ledger.
type Entry struct {
	// Seq counts the entries from 0; Append assigns it.
	Seq  int64     `json:"seq"`
	Type EntryType `json:"type"`
	// At is when, on the test's clock; 0 before the test has one.
	At history.Time `json:"at,omitempty"`
	// Fault is the id of the step that the entry is about; 0 for none.
	Fault    int64          `json:"fault,omitempty"`
	Steps    []Step         `json:"steps,omitempty"`
	Intent   *Intent        `json:"intent,omitempty"`
	Evidence *Evidence      `json:"evidence,omitempty"`
	Process  *ProcessRecord `json:"process,omitempty"`
	Resource *Resource      `json:"resource,omitempty"`
	Matrix   *Matrix        `json:"matrix,omitempty"`
	// Error is why it failed, or for a skipped step why it was skipped.
	Error string `json:"error,omitempty"`
	// Interrupted is true when the fault was ended before its time because the
	// test ended.
	Interrupted bool `json:"interrupted,omitempty"`
}

// Ledger is the file in which every fault and every process is written down
// before it exists, so that whatever a killed controller left behind can be
// found and taken back. It is safe for concurrent use.
type Ledger struct {
	path    string
	relaxed bool

	mu      sync.Mutex
	file    *os.File
	entries []Entry
	broken  error // first write error; nothing may be done after it
}

// OpenLedger opens the ledger at path for appending, creating it if need be. An
// incomplete last line is cut off: it was never acted upon, because acting waits
// for the line's fsync.
func OpenLedger(path string) (*Ledger, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	l := &Ledger{path: path, file: f}
	if err := l.recover(); err != nil {
		return nil, errors.Join(fmt.Errorf("open ledger %s: %w", path, err), f.Close())
	}
	return l, nil
}

// recover reads what is there, cuts the torn tail, and makes the file's name
// durable.
func (l *Ledger) recover() error {
	data, err := io.ReadAll(l.file)
	if err != nil {
		return err
	}
	entries, whole, err := parseLedger(data)
	if err != nil {
		return err
	}
	if err := l.file.Truncate(int64(whole)); err != nil {
		return err
	}
	if _, err := l.file.Seek(int64(whole), io.SeekStart); err != nil {
		return err
	}
	l.entries = entries
	dir, err := os.Open(filepath.Dir(l.path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// parseLedger returns the entries of data and the length of its whole lines.
// Only an incomplete last line is forgiven; damage elsewhere is an error, which
// names the first damaged line and comes with the entries of all others.
func parseLedger(data []byte) (entries []Entry, whole int, err error) {
	for line := 1; whole < len(data); line++ {
		end := bytes.IndexByte(data[whole:], '\n')
		if end < 0 {
			return entries, whole, err
		}
		var e Entry
		bad := json.Unmarshal(data[whole:whole+end], &e)
		if bad == nil && e.Type == EntryIntent && e.Intent == nil {
			bad = errors.New("an intent that does not say what for")
		}
		switch {
		case bad == nil:
			entries = append(entries, e)
		case err == nil:
			err = fmt.Errorf("line %d: %w", line, bad)
		}
		whole += end + 1
	}
	return entries, whole, err
}

// Relax lets entries reach the disk whenever they do: for a cluster that ends with this
// process and leaves nothing to be undone.
func (l *Ledger) Relax() { l.relaxed = true }

// Append writes e and returns once it is on the disk. After an error nothing
// that the entry announces may be done, and all later calls fail, too.
func (l *Ledger) Append(e Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken != nil {
		return l.broken
	}
	if n := len(l.entries); n > 0 {
		e.Seq = l.entries[n-1].Seq + 1
	} else {
		e.Seq = 0
	}
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode ledger entry %s: %w", e.Type, err)
	}
	if _, err = l.file.Write(append(line, '\n')); err == nil && !l.relaxed {
		err = l.file.Sync()
	}
	if err != nil {
		l.broken = fmt.Errorf("write ledger %s: %w", l.path, err)
		return l.broken
	}
	l.entries = append(l.entries, e)
	return nil
}

// ProcessStarting records that a process of node is about to be started. Its pid
// is not known yet; whoever cleans up finds it by its marker.
func (l *Ledger) ProcessStarting(node Node, marker string) error {
	return l.Append(Entry{
		Type: EntryStarting, Process: &ProcessRecord{Node: node, Marker: marker},
	})
}

// ProcessStarted records a process that runs now.
func (l *Ledger) ProcessStarted(p ProcessRecord) error {
	return l.Append(Entry{Type: EntryStarted, Process: &p})
}

// ProcessEnded records that a process is known to be gone. With pid 0 it settles
// a ProcessStarting that came to nothing.
func (l *Ledger) ProcessEnded(p ProcessRecord) error {
	return l.Append(Entry{Type: EntryEnded, Process: &p})
}

// ResourceMaking records that a resource is about to be made. One that is on record
// already stays there once.
func (l *Ledger) ResourceMaking(r Resource) error {
	return l.Append(Entry{Type: EntryMaking, Resource: &r})
}

// ResourceGone records that a resource is known to be gone.
func (l *Ledger) ResourceGone(r Resource) error {
	return l.Append(Entry{Type: EntryGone, Resource: &r})
}

// FaultHealed records that the fault with this id was taken back and how that
// was verified. Cleaning up after a killed controller ends with it.
func (l *Ledger) FaultHealed(at history.Time, id int64, verification Evidence) error {
	return l.Append(Entry{Type: EntryHealed, At: at, Fault: id, Evidence: &verification})
}

// Entries returns a copy of all entries so far.
func (l *Ledger) Entries() []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.entries)
}

// Outstanding returns what the ledger says is still there.
func (l *Ledger) Outstanding() Outstanding { return OutstandingIn(l.Entries()) }

// Close closes the file.
func (l *Ledger) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Close()
}

// ReadLedger reads the ledger at path without changing it. Torn is true when its
// last line is incomplete; the line is left out. A damaged line elsewhere is an
// error, beside the entries of all other lines.
func ReadLedger(path string) (entries []Entry, torn bool, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, false, fmt.Errorf("read ledger: %w", err)
	}
	entries, whole, err := parseLedger(data)
	if err != nil {
		err = fmt.Errorf("read ledger %s: %w", path, err)
	}
	return entries, whole < len(data), err
}

// OutstandingFault is a fault whose healing is not on record.
type OutstandingFault struct {
	ID int64 `json:"id"`
	Intent
}

// Outstanding is what a ledger says is still there: faults without a verified
// heal, processes without an end and resources that are not gone, all in the order of
// their entries.
type Outstanding struct {
	Faults    []OutstandingFault `json:"faults"`
	Processes []ProcessRecord    `json:"processes"`
	Resources []Resource         `json:"resources"`
}

// Empty reports whether nothing is left to be cleaned up.
func (o Outstanding) Empty() bool {
	return len(o.Faults) == 0 && len(o.Processes) == 0 && len(o.Resources) == 0
}

// OutstandingIn computes what is outstanding after these entries. A process that
// was announced but whose pid was never recorded appears with pid 0.
func OutstandingIn(entries []Entry) Outstanding {
	var o Outstanding
	for _, e := range entries {
		switch {
		case e.Type == EntryIntent && e.Intent != nil:
			o.dropFault(e.Fault)
			o.Faults = append(o.Faults, OutstandingFault{ID: e.Fault, Intent: *e.Intent})
		case e.Type == EntryHealed && e.Error == "":
			o.dropFault(e.Fault)
		case e.Type == EntryMaking && e.Resource != nil:
			o.dropResource(*e.Resource)
			o.Resources = append(o.Resources, *e.Resource)
		case e.Type == EntryGone && e.Resource != nil:
			o.dropResource(*e.Resource)
		case e.Process == nil:
		case e.Type == EntryStarting:
			o.Processes = append(o.Processes, *e.Process)
		case e.Type == EntryStarted:
			starting := *e.Process
			starting.PID = 0
			o.dropProcess(starting)
			o.Processes = append(o.Processes, *e.Process)
		case e.Type == EntryEnded:
			o.dropProcess(*e.Process)
		}
	}
	return o
}

func (o *Outstanding) dropFault(id int64) {
	o.Faults = slices.DeleteFunc(o.Faults, func(f OutstandingFault) bool { return f.ID == id })
}

func (o *Outstanding) dropResource(r Resource) {
	o.Resources = slices.DeleteFunc(o.Resources, func(q Resource) bool { return q == r })
}

func (o *Outstanding) dropProcess(p ProcessRecord) {
	o.Processes = slices.DeleteFunc(o.Processes, func(q ProcessRecord) bool { return q == p })
}
