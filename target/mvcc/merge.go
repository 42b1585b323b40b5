package mvcc

import (
	"maps"
	"slices"

	"github.com/ordeal-dev/ordeal/target/bug"
)

// merge is a three-way merge of the branch t with the head, as git does it: a key
// that only one side has changed since the common ancestor is that side's, and
// one that both have changed is a conflict. It returns what the head has to take
// over from the branch.
func (d *database) merge(t *txn) (map[string][]update, error) {
	ancestor := t.snap
	if d.bugs.Has(bug.MVCCMergeWrongBase) {
		// Planted: compared with the head, what others have changed since the
		// branch began looks as if the branch had taken it back.
		ancestor = d.last
	}
	touched := map[string]bool{}
	for _, u := range d.since(t) {
		for key := range u.writes {
			touched[key] = true
		}
	}
	for key := range t.writes {
		touched[key] = true
	}
	merged := map[string][]update{}
	for _, key := range slices.Sorted(maps.Keys(touched)) {
		_, base := d.store.At(key, ancestor)
		_, head := d.store.At(key, d.last)
		v, branch := d.store.At(key, t.snap)
		own := t.writes[key]
		switch changed := len(own) > 0 || branch != base; {
		case !changed:
			// The head's, whatever it is.
		case head != base:
			return nil, errConflict{key, "has changed on both sides"}
		case len(own) > 0:
			merged[key] = own
		default:
			merged[key] = []update{v.Put()}
		}
	}
	return merged, nil
}
