package primary

import (
	"fmt"

	"github.com/ordeal-dev/ordeal/target/kv"
)

// View numbers a period with one primary. View v belongs to the member at place v
// modulo the number of members, so that no two members ever share one; 0 is none.
type View uint64

// String returns "v7".
func (v View) String() string { return fmt.Sprintf("v%d", uint64(v)) }

// entry is a command in the log, with the view in which it was put there. Two logs
// that have an entry of the same view at the same place are equal up to there: the
// primary of a view only appends, and copies take nothing without what comes before.
type entry struct {
	_       struct{} `cbor:",toarray"`
	View    View
	Command kv.Command
}

// end tells how a log ends. The greater of two ends knows more.
type end struct {
	_    struct{} `cbor:",toarray"`
	View View
	Seq  uint64
}

func (e end) less(o end) bool { return e.View < o.View || e.View == o.View && e.Seq < o.Seq }

// entries is the part of the log that has not been forgotten: base+1, base+2, …
type entries struct {
	base     uint64
	baseView View
	list     []entry
}

// last is the number of the last entry, base if there is none.
func (l *entries) last() uint64 { return l.base + uint64(len(l.list)) }

func (l *entries) end() end { return end{View: l.viewAt(l.last()), Seq: l.last()} }

// at returns an entry, nil if it has been forgotten or is not there.
func (l *entries) at(seq uint64) *entry {
	if seq <= l.base || seq > l.last() {
		return nil
	}
	return &l.list[seq-l.base-1]
}

// viewAt is the view of an entry, that of the last one forgotten included; 0 if it
// is not known.
func (l *entries) viewAt(seq uint64) View {
	if seq == l.base {
		return l.baseView
	}
	if e := l.at(seq); e != nil {
		return e.View
	}
	return 0
}

// put makes the log end with these entries, from number seq on, which is above base.
// What stood there is dropped; a gap before them is filled with zero entries.
func (l *entries) put(seq uint64, es []entry) {
	for l.last() < seq-1 {
		l.list = append(l.list, entry{})
	}
	l.list = append(l.list[:seq-l.base-1], es...)
}

// from returns what follows the entry prev, as much as fits a message.
func (l *entries) from(prev uint64) []entry {
	es := l.list[prev-l.base:]
	return es[:fits(es)]
}

// cut forgets the entries up to base, which never falls.
func (l *entries) cut(base uint64) {
	if base <= l.base {
		return
	}
	view := l.viewAt(base)
	l.list = append([]entry(nil), l.list[base-l.base:]...)
	l.base, l.baseView = base, view
}

// fits returns how many of the entries go into one message; at least one if there
// are any.
func fits(es []entry) int {
	size := 0
	for i, e := range es {
		if size += e.Command.Size() + 20; size > batchBytes && i > 0 {
			return i
		}
	}
	return len(es)
}
