package nemesis

import (
	"context"
	"maps"
	"slices"

	"github.com/ordeal-dev/ordeal/history"
)

// Matrix is what an all-pairs probe has found: which links deliver.
type Matrix struct {
	// At is when, on the test's clock.
	At history.Time `json:"-"`
	// Links is how many links were probed, Dead those of them that did not deliver, in a
	// fixed order.
	Links int    `json:"links"`
	Dead  []Link `json:"dead,omitempty"`
}

// MarshalText writes a link as "n1>n2".
func (l Link) MarshalText() ([]byte, error) { return []byte(l.From + ">" + l.To), nil }

// UnmarshalText reads what MarshalText writes.
func (l *Link) UnmarshalText(text []byte) error {
	for i, c := range text {
		if c == '>' {
			*l = Link{From: Node(text[:i]), To: Node(text[i+1:])}
			return nil
		}
	}
	*l = Link{From: Node(text)}
	return nil
}

// watchedNetwork writes down what probes find.
type watchedNetwork struct {
	Network
	runner *Runner
}

// Probe probes and tells the ledger when something has changed since the last time.
func (w watchedNetwork) Probe(ctx context.Context) (map[Link]bool, error) {
	delivered, err := w.Network.Probe(ctx)
	if err == nil && ctx.Err() == nil {
		w.runner.saw(delivered)
	}
	return delivered, err
}

// saw writes a matrix into the ledger if it is another than the last one.
func (r *Runner) saw(delivered map[Link]bool) {
	m := Matrix{Links: len(delivered)}
	for _, l := range slices.SortedFunc(maps.Keys(delivered), compareLinks) {
		if !delivered[l] {
			m.Dead = append(m.Dead, l)
		}
	}
	r.matrices.Lock()
	defer r.matrices.Unlock()
	if r.seen != nil && r.seen.Links == m.Links && slices.Equal(r.seen.Dead, m.Dead) {
		return
	}
	r.seen = &m
	r.append(Entry{Type: EntryMatrix, Matrix: &m})
}
