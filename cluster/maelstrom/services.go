package maelstrom

import (
	"bytes"
	"encoding/json"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/ordeal-dev/ordeal/systems/maelstrom"
)

// service answers requests of nodes by its name, as a node would, and never fails. It is told
// the time, and who asks; wait is how long the answer takes.
type service interface {
	handle(now time.Duration, from string, request maelstrom.Body) (
		reply maelstrom.Request, wait time.Duration)
}

const (
	// answerMost is how long the answer of a service takes at most.
	answerMost = 2 * time.Millisecond
	// staleFor is how old at most is what seq-kv shows.
	staleFor = time.Second
	// replicas is their number in lww-kv, gossipEvery how often two of them meet, and
	// skewMost by how much their clocks differ from the true time.
	replicas    = 5
	gossipEvery = 20 * time.Millisecond
	skewMost    = 50 * time.Millisecond
)

// newServices makes Maelstrom's services, by their names.
func newServices(seed uint64) map[string]service {
	rng := func(name string) *rand.Rand {
		h := fnv.New64a()
		_, _ = h.Write([]byte(name)) // a hash takes everything
		return rand.New(rand.NewPCG(seed, h.Sum64()))
	}
	return map[string]service{
		"lin-kv":  &kvService{rng: rng("lin-kv"), store: linear{}},
		"seq-kv":  &kvService{rng: rng("seq-kv"), store: newSequential(rng("seq-kv reads"))},
		"lww-kv":  &kvService{rng: rng("lww-kv"), store: newLastWrite(rng("lww-kv replicas"))},
		"lin-tso": &oracle{rng: rng("lin-tso")},
	}
}

// oracle is lin-tso: it counts. What is answered later was counted later.
type oracle struct {
	rng  *rand.Rand
	last int64
}

func (o *oracle) handle(
	_ time.Duration, _ string, request maelstrom.Body,
) (maelstrom.Request, time.Duration) {
	if t := request.Type(); t != "ts" {
		return unknownType("lin-tso", t), 0
	}
	o.last++
	return maelstrom.Request{"type": "ts_ok", "ts": o.last}, wait(o.rng)
}

func wait(rng *rand.Rand) time.Duration { return time.Duration(rng.Int64N(int64(answerMost) + 1)) }

func failure(code int64, text string) maelstrom.Request {
	return maelstrom.Request{"type": "error", "code": code, "text": text}
}

func unknownType(service, t string) maelstrom.Request {
	return failure(maelstrom.CodeNotSupported, service+" has no requests of the type "+t)
}

// view is a state of a store as one client sees it for one operation. Values and keys are
// JSON, written in one way; a nil value is none.
type view interface {
	get(key string) []byte
	put(key string, value []byte)
}

// store is what the stores differ in: which of its states a client sees. Changes says that
// the operation may write.
type store interface {
	view(now time.Duration, client string, changes bool) view
}

// kvService is one of the stores.
type kvService struct {
	rng   *rand.Rand
	store store
}

func (s *kvService) handle(
	now time.Duration, from string, request maelstrom.Body,
) (maelstrom.Request, time.Duration) {
	reply := s.reply(now, from, request)
	return reply, wait(s.rng)
}

func (s *kvService) reply(
	now time.Duration, from string, request maelstrom.Body,
) maelstrom.Request {
	t := request.Type()
	if t != "read" && t != "write" && t != "cas" {
		return unknownType("the store", t)
	}
	key, ok := canonical(request["key"])
	if !ok {
		return failure(maelstrom.CodeMalformedRequest, t+" without a key")
	}
	switch v := s.store.view(now, from, t != "read"); t {
	case "read":
		return read(v, string(key))
	case "write":
		value, ok := canonical(request["value"])
		if !ok {
			return failure(maelstrom.CodeMalformedRequest, "write without a value")
		}
		v.put(string(key), value)
		return maelstrom.Request{"type": "write_ok"}
	default:
		return cas(v, string(key), request)
	}
}

func read(v view, key string) maelstrom.Request {
	value := v.get(key)
	if value == nil {
		return failure(maelstrom.CodeKeyDoesNotExist, "there is no "+key)
	}
	return maelstrom.Request{"type": "read_ok", "value": json.RawMessage(value)}
}

func cas(v view, key string, request maelstrom.Body) maelstrom.Request {
	from, hasFrom := canonical(request["from"])
	to, hasTo := canonical(request["to"])
	var create bool
	_ = json.Unmarshal(request["create_if_not_exists"], &create) // it may be left out
	if !hasTo || !hasFrom && !create {
		return failure(maelstrom.CodeMalformedRequest, "cas without from and to")
	}
	switch value := v.get(key); {
	case value == nil && !create:
		return failure(maelstrom.CodeKeyDoesNotExist, "there is no "+key)
	case value != nil && !bytes.Equal(value, from):
		return failure(maelstrom.CodePreconditionFailed,
			"it is "+string(value)+", not "+string(from))
	}
	v.put(key, to)
	return maelstrom.Request{"type": "cas_ok"}
}

// canonical writes a value in one way: maps sorted, without spaces. It reports false if
// there is none; null is one.
func canonical(raw json.RawMessage) ([]byte, bool) {
	if len(raw) == 0 {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber() // a float may not have room for an integer
	var v any
	if d.Decode(&v) != nil {
		return nil, false
	}
	b, err := json.Marshal(v)
	return b, err == nil
}

// linear is the store of lin-kv: there is one state.
type linear map[string][]byte

func (l linear) view(time.Duration, string, bool) view { return l }
func (l linear) get(key string) []byte                 { return l[key] }
func (l linear) put(key string, value []byte)          { l[key] = value }

// sequential is the store of seq-kv. There is one order of all writes. What changes
// something happens at its end; a read may see any earlier state that is at most staleFor
// old, but no client one that is older than what it has seen or done.
type sequential struct {
	rng  *rand.Rand
	now  time.Duration
	last int64 // the number of the last write
	// began are the times of writes that are not older than staleFor, the last write's
	// number at the end.
	began []time.Duration
	keys  map[string][]version
	seen  map[string]int64 // by client, the number of a write
}

// version is what a key has held since a write.
type version struct {
	write int64
	value []byte
}

func newSequential(rng *rand.Rand) *sequential {
	return &sequential{rng: rng, keys: map[string][]version{}, seen: map[string]int64{}}
}

// moment is a state of a sequential store.
type moment struct {
	s      *sequential
	client string
	write  int64
}

func (s *sequential) view(now time.Duration, client string, changes bool) view {
	s.now = now
	for len(s.began) > 0 && s.began[0] < now-staleFor {
		s.began = s.began[1:]
	}
	at := s.last
	// Before the oldest of the young writes there is one state that was the last for a time
	// that may still be shown.
	oldest := max(s.seen[client], s.last-int64(len(s.began)))
	if !changes && oldest < s.last && s.rng.IntN(2) == 0 {
		at = oldest + s.rng.Int64N(s.last-oldest+1)
	}
	s.seen[client] = at
	return moment{s, client, at}
}

func (m moment) get(key string) []byte {
	for _, v := range slices.Backward(m.s.keys[key]) {
		if v.write <= m.write {
			return v.value
		}
	}
	return nil
}

func (m moment) put(key string, value []byte) {
	s := m.s
	s.last++
	s.began = append(s.began, s.now)
	s.seen[m.client] = s.last
	// Versions that no read can come to any more are forgotten.
	versions, oldest := s.keys[key], s.last-int64(len(s.began))
	for len(versions) > 1 && versions[1].write <= oldest {
		versions = versions[1:]
	}
	s.keys[key] = append(versions, version{s.last, value})
}

// lastWrite is the store of lww-kv: replicas that each answer by themselves, whose clocks
// are about right, and that take over from each other what was written later.
type lastWrite struct {
	rng *rand.Rand
	// skew is by how much the clock of a replica is ahead.
	skew   [replicas]time.Duration
	states [replicas]map[string]stamped
	met    time.Duration // when two replicas met last
}

// stamped is a value with the time of its write, and who wrote it where times are equal.
type stamped struct {
	at      time.Duration
	replica int
	value   []byte
}

func (s stamped) after(o stamped) bool {
	return s.at > o.at || s.at == o.at && s.replica > o.replica
}

func newLastWrite(rng *rand.Rand) *lastWrite {
	l := &lastWrite{rng: rng}
	for i := range l.states {
		l.states[i] = map[string]stamped{}
		l.skew[i] = time.Duration(rng.Int64N(2*int64(skewMost)+1)) - skewMost
	}
	return l
}

// one is one replica at a time.
type one struct {
	l       *lastWrite
	now     time.Duration
	replica int
}

func (l *lastWrite) view(now time.Duration, _ string, _ bool) view {
	// Nobody looks between two requests, so whom gossip has reached by now is enough. A
	// hundred meetings tell all replicas everything.
	for n := 0; l.met+gossipEvery <= now && n < 100; n++ {
		l.met += gossipEvery
		l.meet(l.rng.IntN(replicas), l.rng.IntN(replicas))
	}
	if l.met+gossipEvery <= now {
		l.met = now
	}
	return one{l, now, l.rng.IntN(replicas)}
}

// meet lets two replicas take over from each other what was written later.
func (l *lastWrite) meet(a, b int) {
	for _, pair := range [2][2]int{{a, b}, {b, a}} {
		from, to := l.states[pair[0]], l.states[pair[1]]
		for key, s := range from {
			if old, there := to[key]; !there || s.after(old) {
				to[key] = s
			}
		}
	}
}

func (o one) get(key string) []byte { return o.l.states[o.replica][key].value }

// put writes, unless what is there was written later by the clocks.
func (o one) put(key string, value []byte) {
	state := o.l.states[o.replica]
	s := stamped{o.now + o.l.skew[o.replica], o.replica, value}
	if old, there := state[key]; !there || !old.after(s) {
		state[key] = s
	}
}
