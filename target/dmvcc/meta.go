package dmvcc

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/fxamacker/cbor/v2"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/versions"
)

// Num numbers transactions that write, from 1.
type Num = versions.Num

// metaObject is the kind of object that the metadata are in the group's log.
const metaObject = "meta"

// fate is what has become of a number.
type fate uint8

const (
	unborn fate = iota // not given, as far as this replica knows
	open
	complete
	aborted
)

// meta is the global metadata: one replica of what the group has decided. It is a
// kv.Extension, a function of the commands in the log.
type meta struct {
	need int // how many nodes must have completed a number
	bugs bug.Set

	last Num // the greatest number given
	// solid is the greatest number at or below which none is open. mark is the
	// watermark, the snapshot of whoever begins: the same, unless a bug is planted.
	solid, mark Num
	opened      map[Num]opening
	// above are the closed numbers above solid.
	above map[Num]bool
	// gone are the aborted numbers, in the order of their aborts; dead is the set.
	gone []Num
	dead map[Num]bool
	// wrote is the greatest number that writes each key.
	wrote map[string]Num
	// touched are the shards in which each number writes, by number from 1.
	touched []shards
	// owners are the nodes that answer for each shard.
	owners [shardCount]protocol.NodeID
}

// opening is a number that is not closed.
type opening struct {
	_  struct{} `cbor:",toarray"`
	By protocol.NodeID
	// Epoch is the life of the coordinator.
	Epoch protocol.Epoch
}

// allocation asks for a number.
type allocation struct {
	By    protocol.NodeID `json:"by"`
	Epoch protocol.Epoch  `json:"epoch"`
	Snap  Num             `json:"snap"`
	Keys  []string        `json:"keys"`
	// Num is the coordinator's own choice; only the planted bug
	// dmv-number-from-clock makes one.
	Num Num `json:"num,omitempty"`
}

// closing ends a number.
type closing struct {
	Num Num `json:"num"`
	// By are the nodes that have completed it.
	By []protocol.NodeID `json:"by,omitempty"`
	// Mark is the watermark that the sender has computed; only the planted bug
	// dmv-watermark-overwrite uses it.
	Mark Num `json:"mark,omitempty"`
}

// moving gives a shard to another node.
type moving struct {
	Shard int             `json:"shard"`
	To    protocol.NodeID `json:"to"`
}

func newMeta(members []protocol.NodeID, need int, bugs bug.Set) *meta {
	m := &meta{
		need: need, bugs: bugs, opened: map[Num]opening{}, above: map[Num]bool{},
		dead: map[Num]bool{}, wrote: map[string]Num{},
	}
	for s := range m.owners {
		m.owners[s] = members[s%len(members)]
	}
	return m
}

// Check lets everything through: only this package makes these requests.
func (m *meta) Check(protocol.Request) (kv.Result, bool) { return kv.Result{}, true }

// Read returns the watermark.
func (m *meta) Read(protocol.Request) kv.Result {
	return kv.Result{Value: strconv.FormatUint(uint64(m.mark), 10)}
}

// Apply carries out a command of the log.
func (m *meta) Apply(_ uint64, _ protocol.Time, c kv.Command) kv.Result {
	var err error
	var a allocation
	var cl closing
	var mv moving
	switch c.F {
	case "alloc":
		err = json.Unmarshal([]byte(c.Value), &a)
	case "move":
		err = json.Unmarshal([]byte(c.Value), &mv)
	default:
		err = json.Unmarshal([]byte(c.Value), &cl)
	}
	switch {
	case err != nil:
		return versions.Fail(kv.CodeBadRequest, "meta.%s: %v", c.F, err)
	case c.F == "alloc":
		return m.alloc(a)
	case c.F == "complete":
		return m.complete(cl)
	case c.F == "abort":
		return m.abort(cl.Num)
	case c.F == "move":
		if mv.Shard < 0 || mv.Shard >= shardCount {
			return versions.Fail(kv.CodeBadRequest, "meta.move: no shard %d", mv.Shard)
		}
		m.owners[mv.Shard] = mv.To
		return kv.Result{}
	default:
		return versions.Fail(kv.CodeNotSupported, "no operation meta.%s", c.F)
	}
}

// alloc gives the next number, unless a key has been written above the snapshot:
// the first committer wins, and whoever has a number, open or closed, was first.
func (m *meta) alloc(a allocation) kv.Result {
	for _, key := range a.Keys {
		if m.wrote[key] > a.Snap {
			r := versions.Fail(codeConflict, "key %q is written by %d", key, m.wrote[key])
			r.Value = strconv.FormatUint(uint64(m.wrote[key]), 10)
			return r
		}
	}
	n := m.last + 1
	if a.Num != 0 {
		// Planted: whatever the clock says.
		for n = a.Num; m.fate(n) == open || m.above[n]; {
			n++
		}
	}
	m.last = max(m.last, n)
	m.opened[n] = opening{By: a.By, Epoch: a.Epoch}
	var in shards
	for _, key := range a.Keys {
		m.wrote[key] = n
		in |= of(shardOf(key))
	}
	if a.Num == 0 {
		m.touched = append(m.touched, in)
	}
	return kv.Result{Value: strconv.FormatUint(uint64(n), 10)}
}

// complete closes a number that enough nodes have completed.
func (m *meta) complete(c closing) kv.Result {
	need := m.need
	if m.bugs.Has(bug.DMVPublishAfterFirstNode) {
		need = 1 // planted: the others will have it soon
	}
	switch {
	case m.fate(c.Num) != open:
		return versions.Fail(kv.CodePrecondition, "%d is not open", c.Num)
	case len(c.By) < need:
		return versions.Fail(kv.CodePrecondition, "%d nodes have %d", len(c.By), c.Num)
	}
	m.close(c.Num)
	switch {
	case m.bugs.Has(bug.DMVWatermarkSkipsGap):
		m.mark = max(m.mark, c.Num) // planted: the greatest recorded
	case m.bugs.Has(bug.DMVWatermarkOverwrite):
		m.mark = c.Mark // planted: whatever the sender has read and added to
	}
	return kv.Result{}
}

// abort closes a number for good: the first entry for a number wins.
func (m *meta) abort(n Num) kv.Result {
	if m.fate(n) != open {
		return versions.Fail(kv.CodePrecondition, "%d is not open", n)
	}
	m.gone = append(m.gone, n)
	m.dead[n] = true
	m.close(n)
	return kv.Result{}
}

// close takes a number off the open ones, and moves the watermark over all that
// are closed without a gap.
func (m *meta) close(n Num) {
	delete(m.opened, n)
	m.above[n] = true
	if m.bugs.Has(bug.DMVNumberFromClock) {
		m.closeSparse()
		return
	}
	for m.above[m.solid+1] {
		m.solid++
		delete(m.above, m.solid)
	}
	if !m.bugs.Has(bug.DMVWatermarkOverwrite) || m.dead[n] {
		m.mark = max(m.mark, m.solid)
	}
}

// closeSparse belongs to dmv-number-from-clock, where numbers have gaps: the
// watermark is the greatest closed number below the least open one.
func (m *meta) closeSparse() {
	least := m.last + 1
	for n := range m.opened {
		least = min(least, n)
	}
	for n := range m.above {
		if n < least {
			m.mark = max(m.mark, n)
		}
	}
}

// fate tells what has become of a number.
func (m *meta) fate(n Num) fate {
	_, isOpen := m.opened[n]
	switch {
	case isOpen:
		return open
	case m.dead[n]:
		return aborted
	case n <= m.solid || m.above[n]:
		return complete
	default:
		return unborn
	}
}

// with is the watermark that the replica would have if n were complete.
func (m *meta) with(n Num) Num {
	mark := m.solid
	for mark+1 == n || m.above[mark+1] {
		mark++
	}
	return mark
}

// metaImage is the encoded state.
type metaImage struct {
	_                 struct{} `cbor:",toarray"`
	Last, Solid, Mark Num
	Opened            []openImage
	Above             []Num
	Gone              []Num
	Wrote             []wroteImage
	Touched           []byte
	Owners            []protocol.NodeID
}

type openImage struct {
	_       struct{} `cbor:",toarray"`
	Num     Num
	Opening opening
}

type wroteImage struct {
	_   struct{} `cbor:",toarray"`
	Key string
	Num Num
}

// Encode returns the whole state; equal states give equal bytes.
func (m *meta) Encode() []byte {
	im := metaImage{
		Last: m.last, Solid: m.solid, Mark: m.mark,
		Above: slices.Sorted(maps.Keys(m.above)), Gone: m.gone, Owners: m.owners[:],
	}
	for _, in := range m.touched {
		im.Touched = append(im.Touched, byte(in))
	}
	for _, n := range slices.Sorted(maps.Keys(m.opened)) {
		im.Opened = append(im.Opened, openImage{Num: n, Opening: m.opened[n]})
	}
	for _, key := range slices.Sorted(maps.Keys(m.wrote)) {
		im.Wrote = append(im.Wrote, wroteImage{Key: key, Num: m.wrote[key]})
	}
	return encode(im)
}

// Decode replaces the state.
func (m *meta) Decode(b []byte) error {
	var im metaImage
	if err := decode(b, &im); err != nil {
		return fmt.Errorf("decode metadata: %w", err)
	}
	if len(im.Owners) != shardCount {
		return fmt.Errorf("decode metadata: %d owners of %d shards", len(im.Owners), shardCount)
	}
	*m = *newMeta(im.Owners, m.need, m.bugs)
	for _, in := range im.Touched {
		m.touched = append(m.touched, shards(in))
	}
	m.last, m.solid, m.mark, m.gone = im.Last, im.Solid, im.Mark, im.Gone
	for _, o := range im.Opened {
		m.opened[o.Num] = o.Opening
	}
	for _, n := range im.Above {
		m.above[n] = true
	}
	for _, n := range im.Gone {
		m.dead[n] = true
	}
	for _, w := range im.Wrote {
		m.wrote[w.Key] = w.Num
	}
	return nil
}

func encode(v any) []byte {
	b, err := cbor.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("dmvcc: encode %T: %v", v, err)) // all types here encode
	}
	return b
}

func decode(b []byte, v any) error {
	mode, err := cbor.DecOptions{
		UTF8: cbor.UTF8DecodeInvalid, MaxArrayElements: 1 << 30,
	}.DecMode()
	if err != nil {
		return err
	}
	return mode.Unmarshal(b, v)
}
