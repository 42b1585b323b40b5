package mvcc

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/fxamacker/cbor/v2"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// commitRecord is what a commit leaves on the disk: one record with all writes, so
// that a crash leaves all or nothing.
type commitRecord struct {
	_      struct{} `cbor:",toarray"`
	Num    Num
	Writes []keyWrites
}

type keyWrites struct {
	_       struct{} `cbor:",toarray"`
	Key     string
	Updates []update
}

// image is a checkpoint. It holds one version of each key: after a restart there
// is no transaction that could see an older one.
type image struct {
	_    struct{} `cbor:",toarray"`
	Last Num
	Keys []keyImage
}

type keyImage struct {
	_   struct{} `cbor:",toarray"`
	Key string
	Num Num
	Put update
}

// kind says what a message between a relay and the database is.
type kind uint8

const (
	// kindHello asks the database which life it is in, kindHere says so, unasked
	// when a request was meant for another.
	kindHello kind = iota + 1
	kindHere
	// kindAsk carries a request to the database, kindAnswer a part of its reply.
	kindAsk
	kindAnswer
	kindEnd
)

// wire is a message.
type wire struct {
	_    struct{} `cbor:",toarray"`
	Kind kind
	// Relay and Database are the lives of both that the request belongs to.
	Relay, Database protocol.Epoch
	// ID numbers the requests in a life of the relay. What is below Low has been
	// answered there or given up.
	ID, Low uint64
	// The request.
	Object, F, Key, Value string
	Txn                   uint64
	// Part of Parts of the encoded reply; a long list takes several datagrams.
	Part, Parts int
	Chunk       []byte
}

// answer is a reply on its way to a relay.
type answer struct {
	_           struct{} `cbor:",toarray"`
	Outcome     protocol.Outcome
	Value       string
	Code, Error string
}

const (
	// chunkBytes is what a datagram carries of a reply.
	chunkBytes = 48_000
	// maxParts bounds the memory that a reply takes.
	maxParts = 1 << 12
)

func encode(v any) []byte {
	b, err := cbor.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("mvcc: encode %T: %v", v, err)) // all types here encode
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

func decodeWire(b []byte) (wire, error) {
	var w wire
	if err := decode(b, &w); err != nil {
		return w, err
	}
	if w.Kind == 0 || w.Kind >= kindEnd {
		return w, fmt.Errorf("kind %d", w.Kind)
	}
	if w.Kind == kindAnswer && (w.Parts < 1 || w.Parts > maxParts || w.Part < 0 || w.Part >= w.Parts) {
		return w, fmt.Errorf("part %d of %d", w.Part, w.Parts)
	}
	return w, nil
}

// encodeCommit returns the record of a commit. Planted: one for each key.
func encodeCommit(bugs bug.Set, num Num, writes map[string][]update) [][]byte {
	r := commitRecord{Num: num}
	for _, key := range slices.Sorted(maps.Keys(writes)) {
		r.Writes = append(r.Writes, keyWrites{Key: key, Updates: writes[key]})
	}
	if !bugs.Has(bug.MVCCCrashHalfCommit) {
		return [][]byte{encode(r)}
	}
	var each [][]byte
	for _, w := range r.Writes {
		each = append(each, encode(commitRecord{Num: num, Writes: []keyWrites{w}}))
	}
	return each
}

func decodeCommit(b []byte) (commitRecord, error) {
	var r commitRecord
	if err := decode(b, &r); err != nil {
		return r, err
	}
	if r.Num == 0 || len(r.Writes) == 0 {
		return r, errors.New("a commit without number or writes")
	}
	return r, nil
}

// encodeCheckpoint returns the newest version of each key.
func (d *database) encodeCheckpoint() []byte {
	im := image{Last: d.given}
	for _, key := range d.store.Keys() {
		v, num := d.store.At(key, d.given)
		if num > 0 {
			im.Keys = append(im.Keys, keyImage{Key: key, Num: num, Put: v.Put()})
		}
	}
	return encode(im)
}

// recover loads what was durable. The records are those of whole transactions,
// so that the numbers go on above every one that was ever visible.
func (d *database) recover(checkpoint []byte, records [][]byte) error {
	if checkpoint != nil {
		var im image
		if err := decode(checkpoint, &im); err != nil {
			return fmt.Errorf("recover checkpoint: %w", err)
		}
		d.last = im.Last
		for _, k := range im.Keys {
			d.store.Install(k.Key, k.Num, value{}.Apply(k.Put), []update{k.Put})
		}
	}
	commits := make([]commitRecord, len(records))
	for i, b := range records {
		r, err := decodeCommit(b)
		if err != nil {
			return fmt.Errorf("recover record %d: %w", i, err)
		}
		commits[i] = r
	}
	// They are in order already, unless a planted bug wrote them.
	slices.SortStableFunc(commits, func(a, b commitRecord) int { return cmp.Compare(a.Num, b.Num) })
	for _, r := range commits {
		for _, w := range r.Writes {
			v, _ := d.store.At(w.Key, r.Num)
			d.store.Install(w.Key, r.Num, v.ApplyAll(w.Updates), w.Updates)
		}
		d.last = max(d.last, r.Num)
	}
	d.given = d.last
	d.store.Collect(d.last)
	return nil
}

// Describe prints a payload for people: traces and tests.
func Describe(payload []byte) string {
	w, err := decodeWire(payload)
	if err != nil {
		return fmt.Sprintf("%v %x", err, payload)
	}
	switch w.Kind {
	case kindHello:
		return fmt.Sprintf("hello e%d", w.Relay)
	case kindHere:
		return fmt.Sprintf("here e%d", w.Database)
	case kindAsk:
		s := fmt.Sprintf("ask r%d.%d/e%d %s %s", w.Relay, w.ID, w.Database, w.Object, w.F)
		for _, x := range []string{w.Key, w.Value} {
			if x != "" {
				s += " " + x
			}
		}
		if w.Txn != 0 {
			s += " in " + txnName(w.Txn)
		}
		return s
	default:
		s := fmt.Sprintf("answer r%d.%d/e%d", w.Relay, w.ID, w.Database)
		var a answer
		if w.Parts > 1 || decode(w.Chunk, &a) != nil {
			return fmt.Sprintf("%s part %d of %d", s, w.Part+1, w.Parts)
		}
		return fmt.Sprintf("%s %v %s%s", s, a.Outcome, a.Value, a.Code)
	}
}

// txnName shows a transaction as its life of the database and its number there.
func txnName(id uint64) string { return fmt.Sprintf("t%d.%d", id>>32, id&0xffff_ffff) }
