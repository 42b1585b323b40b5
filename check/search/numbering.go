package search

import "github.com/ordeal-dev/ordeal/models"

// numbering gives tokens numbers from 0. A few are searched faster than a map.
type numbering struct {
	next int
	few  [12]models.Token
	more map[models.Token]int32
}

func (n *numbering) reset() {
	if len(n.more) > kept {
		n.more = nil
	}
	clear(n.more)
	clear(n.few[:])
	n.next = 0
}

func (n *numbering) of(t *models.Token) int32 {
	for i := range n.few[:min(n.next, len(n.few))] {
		if n.few[i] == *t {
			return int32(i)
		}
	}
	if n.next < len(n.few) {
		n.few[n.next] = *t
		n.next++
		return int32(n.next - 1)
	}
	v, found := n.more[*t]
	if !found {
		if n.more == nil {
			n.more = make(map[models.Token]int32)
		}
		v = int32(n.next)
		n.more[*t] = v
		n.next++
	}
	return v
}
