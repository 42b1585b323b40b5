package commit

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// shardRecord is one entry of a shard's log: a vote, or an end.
type shardRecord struct {
	_        struct{} `cbor:",toarray"`
	Prepared *preparedRecord
	Ended    *endedRecord
}

// preparedRecord is all that a shard needs to commit, or to hold out until it knows.
type preparedRecord struct {
	_            struct{} `cbor:",toarray"`
	T            TxnID
	Age          uint64
	Participants []protocol.NodeID
	Writes       []operation
	Locks        []lockImage
	Results      []kv.Result
}

type lockImage struct {
	_         struct{} `cbor:",toarray"`
	Key       string
	Exclusive bool
}

// endedRecord is an outcome. An abort of what the shard does not know is a tombstone.
type endedRecord struct {
	_      struct{} `cbor:",toarray"`
	T      TxnID
	Commit bool
}

func (s *shard) persist(r shardRecord) { s.out.persist(partShards, mustMarshal(r)) }

func (s *shard) image(p *part) *preparedRecord {
	return &preparedRecord{
		T: p.id, Age: p.age, Participants: p.vote.Participants, Writes: p.writes,
		Locks: s.keysOf(p), Results: p.results,
	}
}

// replay applies a record that was durable.
func (s *shard) replay(c codec, b []byte) error {
	var r shardRecord
	if err := c.mode.Unmarshal(b, &r); err != nil {
		return err
	}
	switch {
	case r.Prepared != nil:
		s.restorePrepared(r.Prepared)
	case r.Ended != nil:
		if e := s.dead[r.Ended.T]; e != nil && s.bugs.Has(bug.TwoPCCommitNotIdempotent) {
			s.applyAll(e.writes)
			return nil
		}
		s.end(r.Ended.T, r.Ended.Commit)
	default:
		return errors.New("empty record")
	}
	return nil
}

// restorePrepared takes up a transaction that is in doubt, and its locks: nobody
// else may see or change what it has locked until its outcome is known.
func (s *shard) restorePrepared(r *preparedRecord) {
	p := s.begin(r.T, r.Age, 0)
	p.prepared, p.restored, p.writes, p.results = true, true, r.Writes, r.Results
	p.vote = &prepare{T: r.T, Participants: r.Participants}
	p.heard, p.asked = -askAfter, -askAfter // ask at once
	if s.bugs.Has(bug.TwoPCLocksLost) {
		return // planted: the writes are remembered, the locks are not
	}
	for _, l := range r.Locks {
		p.keys = append(p.keys, l.Key)
		s.locks.seize(l.Key, hold{txn: r.T, age: r.Age, exclusive: l.Exclusive})
	}
}

// shardImage is the whole durable state of a shard.
type shardImage struct {
	_        struct{} `cbor:",toarray"`
	Cells    []cellImage
	Prepared []preparedRecord
	Dead     []endedRecord
	Fences   []fenceImage
}

type cellImage struct {
	_    struct{} `cbor:",toarray"`
	Key  string
	Cell cell
}

type fenceImage struct {
	_     struct{} `cbor:",toarray"`
	Home  protocol.NodeID
	Fence fence
}

func (s *shard) encode() []byte {
	var im shardImage
	for _, key := range slices.Sorted(maps.Keys(s.data)) {
		im.Cells = append(im.Cells, cellImage{Key: key, Cell: s.data[key]})
	}
	for _, p := range s.inOrder() {
		if p.prepared && !s.bugs.Has(bug.TwoPCVoteBeforeLog) {
			im.Prepared = append(im.Prepared, *s.image(p))
		}
	}
	for _, t := range slices.SortedFunc(maps.Keys(s.dead), TxnID.compare) {
		im.Dead = append(im.Dead, endedRecord{T: t, Commit: s.dead[t].commit})
	}
	for _, home := range slices.Sorted(maps.Keys(s.fences)) {
		im.Fences = append(im.Fences, fenceImage{Home: home, Fence: s.fences[home]})
	}
	return mustMarshal(im)
}

func (s *shard) decode(c codec, b []byte) error {
	var im shardImage
	if err := c.mode.Unmarshal(b, &im); err != nil {
		return fmt.Errorf("decode shard: %w", err)
	}
	for _, ci := range im.Cells {
		s.data[ci.Key] = ci.Cell
	}
	for i := range im.Prepared {
		s.restorePrepared(&im.Prepared[i])
	}
	for _, e := range im.Dead {
		s.dead[e.T] = &end{commit: e.Commit}
	}
	for _, f := range im.Fences {
		s.fences[f.Home] = f.Fence
	}
	return nil
}
