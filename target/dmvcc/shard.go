package dmvcc

import (
	"maps"
	"slices"

	"github.com/ordeal-dev/ordeal/target/versions"
)

// shard is what one node holds of the data: the operations of every number that
// has reached it, those up to the floor folded into one base.
type shard struct {
	store versions.Store
	// ops are those above the floor; nil entries have not come yet.
	ops    map[Num][]*op
	fences map[Num]bool
	floor  Num
	// records that are not durable yet.
	records [][]byte
}

func newShard() *shard {
	return &shard{store: versions.NewUpdates(), ops: map[Num][]*op{}, fences: map[Num]bool{}}
}

// hold keeps an operation, once; not below the floor, where all is settled, unless
// a planted bug wants it to.
func (s *shard) hold(o *op, anywhere bool) {
	if !anywhere && o.Num <= s.floor || at(s.ops[o.Num], o.I) != nil {
		return
	}
	if s.ops[o.Num] == nil {
		s.ops[o.Num] = make([]*op, o.Total)
	}
	if len(s.ops[o.Num]) != o.Total {
		return // of another transaction: not from this cluster
	}
	s.ops[o.Num][o.I] = o
	s.store.Install(o.Key, o.Num, versions.Value{}, o.Updates)
	s.records = append(s.records, encode(record{Op: o}))
}

func (s *shard) has(n Num, i int) bool {
	return n <= s.floor || at(s.ops[n], i) != nil
}

func at(ops []*op, i int) *op {
	if i >= len(ops) {
		return nil
	}
	return ops[i]
}

// whole reports whether all operations of the number are here.
func (s *shard) whole(n Num) bool {
	return n <= s.floor || len(s.ops[n]) > 0 && !slices.Contains(s.ops[n], nil)
}

// drop forgets an aborted number. Nothing is written down: the log of the group
// says it again after a restart.
func (s *shard) drop(n Num) {
	for _, o := range s.ops[n] {
		if o != nil {
			s.store.Remove(o.Key, n)
		}
	}
	delete(s.ops, n)
}

// fence makes the node refuse what comes of the number from now on.
func (s *shard) fence(n Num) {
	if !s.fences[n] {
		s.fences[n] = true
		s.records = append(s.records, encode(record{Fence: n}))
	}
}

// fold puts everything up to the number into the base: nobody needs it any more,
// neither to read before it, nor to give it to another node.
func (s *shard) fold(to Num) {
	if to <= s.floor {
		return
	}
	s.floor = to
	s.store.Collect(to)
	for n := range s.ops {
		if n <= to {
			delete(s.ops, n)
		}
	}
}

func (s *shard) image() image {
	im := image{Floor: s.floor, Fences: slices.Sorted(maps.Keys(s.fences))}
	for _, key := range s.store.Keys() {
		if v, n := s.store.At(key, s.floor); n > 0 {
			im.Base = append(im.Base, baseImage{Key: key, Num: n, Put: v.Put()})
		}
	}
	for _, n := range slices.Sorted(maps.Keys(s.ops)) {
		for _, o := range s.ops[n] {
			if o != nil {
				im.Ops = append(im.Ops, *o)
			}
		}
	}
	return im
}

// load puts back what was durable.
func (s *shard) load(im image) {
	s.floor = im.Floor
	for _, b := range im.Base {
		s.store.Install(b.Key, b.Num, versions.Value{}, []versions.Update{b.Put})
	}
	s.store.Collect(s.floor)
	for i := range im.Ops {
		s.hold(&im.Ops[i], false)
	}
	for _, n := range im.Fences {
		s.fences[n] = true
	}
	s.records = nil
}
