package check

import (
	"context"
	"fmt"
	"sync"

	"github.com/ordeal-dev/ordeal/history"
)

// MonitorIDs is a monitor of UniqueIDs and IncreasingIDs: it finds the first event with
// which an id was given out twice, or an id that is not greater than one that somebody had
// got before it was asked for. It remembers the calls that are open, and of the ids those
// that these may still get.
func MonitorIDs() Monitor {
	return &ids{open: make(map[history.Process]floor), seen: make(map[int64]bool)}
}

type ids struct {
	mu   sync.Mutex // guards everything
	open map[history.Process]floor
	// greatest is that of the ids that were given out. seen are those of them that somebody
	// may still get again, and some that nobody may; at limit they are looked through.
	greatest floor
	seen     map[int64]bool
	limit    int
	ended    bool // it is something else, or there is a violation
	found    *Early
}

// floor is the greatest id that had been given out before something was called, if any.
type floor struct {
	id    int64
	known bool
}

// Observe implements Monitor.
func (m *ids) Observe(e history.Event) {
	if e.Process == history.Nemesis || e.F != "generate" {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended {
		return
	}
	if e.Type == history.Invoke {
		m.open[e.Process] = m.greatest
		return
	}
	f, called := m.open[e.Process]
	delete(m.open, e.Process)
	if e.Type != history.OK || !called {
		return
	}
	id, isInt := e.Value.AsInt()
	switch {
	case !isInt:
		m.ended = true
	case m.seen[id]:
		m.end(&e, fmt.Sprintf("the id %d was given out twice", id))
	case f.known && id <= f.id:
		m.end(&e, fmt.Sprintf("process %d got the id %d, after somebody had got %d", e.Process, id, f.id))
	default:
		m.given(id)
	}
}

func (m *ids) end(e *history.Event, why string) {
	m.ended = true
	m.found = &Early{Key: e.Key, Event: e.Index, At: e.Time, Why: why}
}

// given notes an id, which is new.
func (m *ids) given(id int64) {
	m.seen[id] = true
	if g := m.greatest; !g.known || id > g.id {
		m.greatest = floor{id: id, known: true}
	}
	if len(m.seen) < m.limit {
		return
	}
	// Who is open may get what is greater than its floor; whoever calls later, only what
	// is greater than all.
	least := m.greatest
	for _, f := range m.open {
		if !f.known || least.known && f.id < least.id {
			least = f
		}
	}
	for id := range m.seen {
		if least.known && id <= least.id {
			delete(m.seen, id)
		}
	}
	m.limit = max(1024, 2*len(m.seen))
}

// Look implements Monitor.
func (m *ids) Look(context.Context, history.Time) (Early, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.found == nil {
		return Early{}, false
	}
	return *m.found, true
}
