package kv

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/fxamacker/cbor/v2"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// image is a snapshot: the data, the tables that make commands exactly-once and
// the applied index, all as of one slot. A snapshot without the tables would
// let a replica that was restored from it apply a repeat which the others skip.
type image struct {
	_        struct{} `cbor:",toarray"`
	Version  int
	Applied  uint64
	Now      protocol.Time
	Objects  []objectImage
	Sessions []sessionImage
	Origins  []originImage
	// Extensions are in the order of their kinds.
	Extensions []extensionImage
	Config     string
}

const imageVersion = 3

type extensionImage struct {
	_    struct{} `cbor:",toarray"`
	Kind string
	Data []byte
}

type objectImage struct {
	_     struct{} `cbor:",toarray"`
	Key   string
	Kind  string
	Value string
	Count int64
	Items []string
}

type sessionImage struct {
	_     struct{} `cbor:",toarray"`
	ID    uint64
	Seq   uint64
	Reply Result
	Used  protocol.Time
}

type originImage struct {
	_       struct{} `cbor:",toarray"`
	Node    protocol.NodeID
	Epoch   protocol.Epoch
	Low     uint64
	Replies []replyImage
}

type replyImage struct {
	_     struct{} `cbor:",toarray"`
	N     uint64
	Reply Result
}

// Encode returns the snapshot. Equal stores give equal bytes.
func (s *Store) Encode() []byte {
	im := image{Version: imageVersion, Applied: s.applied, Now: s.now, Config: s.config}
	for _, k := range sortedKeys(s.objects) {
		im.Objects = append(im.Objects, s.objects[k].snapshot(k))
	}
	for _, id := range sortedKeys(s.sessions) {
		t := s.sessions[id]
		im.Sessions = append(im.Sessions,
			sessionImage{ID: id, Seq: t.seq, Reply: t.reply, Used: t.used})
	}
	if s.bugs.Has(bug.DedupNotInSnapshot) {
		// Planted: that there are sessions is told, not what they have done.
		for i := range im.Sessions {
			im.Sessions[i].Seq, im.Sessions[i].Reply = 0, Result{}
		}
	}
	for _, node := range sortedKeys(s.origins) {
		if s.bugs.Has(bug.DedupNotInSnapshot) {
			break
		}
		o := s.origins[node]
		oi := originImage{Node: node, Epoch: o.epoch, Low: o.low}
		for _, n := range sortedKeys(o.replies) {
			oi.Replies = append(oi.Replies, replyImage{N: n, Reply: o.replies[n]})
		}
		im.Origins = append(im.Origins, oi)
	}
	for _, kind := range sortedKeys(s.extensions) {
		im.Extensions = append(im.Extensions,
			extensionImage{Kind: kind, Data: s.extensions[kind].Encode()})
	}
	b, err := cbor.Marshal(im)
	if err != nil {
		panic(fmt.Sprintf("kv: encode snapshot: %v", err)) // the types above all encode
	}
	return b
}

// Decode returns the store that a snapshot holds. It fails when the snapshot's
// extensions are not those of ext.
func Decode(b []byte, bugs bug.Set, ext Extensions) (*Store, error) {
	mode, err := cbor.DecOptions{UTF8: cbor.UTF8DecodeInvalid,
		MaxArrayElements: 1 << 30}.DecMode()
	if err != nil {
		return nil, fmt.Errorf("decode snapshot: %w", err)
	}
	var im image
	if err := mode.Unmarshal(b, &im); err != nil {
		return nil, fmt.Errorf("decode snapshot: %w", err)
	}
	if im.Version != imageVersion {
		return nil, fmt.Errorf("decode snapshot: version %d, want %d", im.Version, imageVersion)
	}
	s := New(bugs, ext)
	s.applied, s.now, s.config = im.Applied, im.Now, im.Config
	for _, o := range im.Objects {
		s.objects[o.Key] = o.object()
	}
	for _, t := range im.Sessions {
		s.sessions[t.ID] = &session{seq: t.Seq, reply: t.Reply, used: t.Used}
	}
	for _, oi := range im.Origins {
		o := &origin{epoch: oi.Epoch, low: oi.Low, replies: map[uint64]Result{}}
		for _, r := range oi.Replies {
			o.replies[r.N] = r.Reply
		}
		s.origins[oi.Node] = o
	}
	if err := s.decodeExtensions(im.Extensions); err != nil {
		return nil, fmt.Errorf("decode snapshot: %w", err)
	}
	return s, nil
}

func (s *Store) decodeExtensions(images []extensionImage) error {
	if len(images) != len(s.extensions) {
		return fmt.Errorf("%d extensions, want %d", len(images), len(s.extensions))
	}
	for _, im := range images {
		e := s.extensions[im.Kind]
		if e == nil {
			return fmt.Errorf("extension %q is unknown", im.Kind)
		}
		if err := e.Decode(im.Data); err != nil {
			return fmt.Errorf("extension %s: %w", im.Kind, err)
		}
	}
	return nil
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	return slices.Sorted(maps.Keys(m))
}
