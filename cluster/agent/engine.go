package agent

import (
	"cmp"
	"container/heap"
	"net/netip"
	"slices"
	"time"

	"github.com/ordeal-dev/ordeal/cluster/impair"
	"github.com/ordeal-dev/ordeal/nemesis"
)

const (
	// maxTotal bounds the bytes that all links together hold back, maxParked the
	// packets that wait in the kernel's queue. What comes beyond is lost, and counted
	// as lost.
	maxTotal  = 64 << 20
	maxParked = 4096
)

// sink takes what the engine decides. Every packet that came gets one of Accept,
// Replace and Drop, at once or later; calls take effect in their order.
type sink interface {
	// Accept lets a packet go on as it is, Replace with other bytes.
	Accept(id uint32)
	Replace(id uint32, data []byte)
	Drop(id uint32)
	// Inject sends a packet of the agent's own, and reports whether that worked.
	Inject(data []byte, device uint32) bool
}

// arrival is a packet that the kernel has handed over.
type arrival struct {
	id        uint32
	direction Direction
	data      []byte // borrowed
	// whole is false when the packet is longer than data.
	whole bool
	probe bool
	// device is the index of the network interface through which it leaves.
	device uint32
}

// engine decides about packets. It is pure: time comes in as an argument, choices from
// the seed, and what it decides goes to the sink.
type engine struct {
	seed  uint64
	sink  sink
	byKey map[nemesis.Link]*link
	// order has the links of the rules in force, in their order.
	order      []*link
	generation int64
	stats      QueueStats
	parked     int
	queue      itemHeap
	seq        uint64
}

// link is one directed link: its rule, its counters, and what it holds back.
type link struct {
	name  nemesis.Link
	match []Match
	rules [classes]nemesis.Rule
	count nemesis.Counters
	line  impair.Line
	// held are the packets picked by Reorder, oldest first.
	held      []*item
	heldBytes int64
	// lastDue is when the last segment of a stream is due: none goes before it.
	lastDue time.Duration
}

// item is a packet that is held back. It is either the engine's own copy, its original
// dropped, or waits in the kernel for its verdict.
type item struct {
	link   *link
	class  class
	data   []byte
	device uint32
	id     uint32
	parked bool
	size   int64

	probe, corrupted, delayed, duplicate, replay bool
	overtakers, overtaken                        int
	stage                                        stage

	due time.Duration
	seq uint64
}

// stage is where an item is.
type stage uint8

const (
	fresh     stage = iota // its verdict is open
	traveling              // in the heap until it is due
	waiting                // in link.held, and in the heap
	gone
)

func newEngine(seed uint64, s sink) *engine {
	return &engine{seed: seed, sink: s, byKey: make(map[nemesis.Link]*link)}
}

// setRules puts rules in force. A cut also concerns what is held back.
func (e *engine) setRules(r Rules) {
	for _, l := range e.order {
		l.match, l.rules = nil, [classes]nemesis.Rule{}
	}
	e.order = e.order[:0]
	for _, want := range r.Links {
		l := e.byKey[want.Link()]
		if l == nil {
			l = &link{
				name: want.Link(), line: impair.Line{Rand: impair.Rand(e.seed, want.Link())},
			}
			e.byKey[l.name] = l
		}
		l.match = slices.Clone(want.Match)
		for c := range classes {
			l.rules[c] = effective(want, c)
		}
		e.order = append(e.order, l)
	}
	e.generation = r.Generation
}

// effective returns what of a link's rule has a meaning for packets of a class.
func effective(l LinkRule, c class) nemesis.Rule {
	r := l.Rule
	always := nemesis.Rule{Cut: r.Cut, Delay: r.Delay, Jitter: r.Jitter, Rate: r.Rate}
	switch {
	case l.client():
		return always
	case c == message:
		return r
	case c == stream:
		r.Replay, r.ReplayMin, r.ReplayMax = 0, 0, 0
		r.Hold, r.HoldMin, r.HoldMax = 0, 0, 0
		return r
	}
	always.Loss = r.Loss
	return always
}

// find returns the link of a packet, nil if it is of none.
func (e *engine) find(h header, d Direction) *link {
	peer, peerPort, localPort := h.dst, h.dstPort, h.srcPort
	if d == In {
		peer, peerPort, localPort = h.src, h.srcPort, h.dstPort
	}
	for _, l := range e.order {
		for _, m := range l.match {
			if m.Direction == d &&
				(m.Peer == netip.Prefix{} || m.Peer.Contains(peer)) &&
				(m.Protocol == "" || m.Protocol == protoUDP && h.class == message ||
					m.Protocol == protoTCP && h.class == stream) &&
				(m.PeerPort == 0 || m.PeerPort == peerPort) &&
				(m.LocalPort == 0 || m.LocalPort == localPort) {
				return l
			}
		}
	}
	return nil
}

// receive decides about a packet that came at now.
func (e *engine) receive(now time.Duration, a arrival) {
	e.advance(now)
	e.stats.Received++
	if a.probe {
		e.stats.Probes++
	}
	h, ok := parse(a.data)
	var l *link
	if ok {
		l = e.find(h, a.direction)
	}
	if l == nil {
		if !a.probe {
			e.stats.Unmatched++
		}
		e.sink.Accept(a.id)
		return
	}
	if l.rules[h.class] == (nemesis.Rule{}) && (h.class != stream || l.lastDue <= now) {
		e.sink.Accept(a.id)
		if !a.probe {
			l.count.Passed++
			e.overtake(l)
		}
		return
	}
	it := item{
		link: l, class: h.class, data: a.data, device: a.device, id: a.id, probe: a.probe,
		parked: a.direction == In || !a.whole, size: int64(len(a.data)),
	}
	e.impair(now, &it, h, l.rules[h.class])
}

// impair applies the rule. All random choices of a link are made here.
func (e *engine) impair(now time.Duration, it *item, h header, r nemesis.Rule) {
	l := it.link
	f := l.line.Draw(now, len(it.data)-h.payload, r, it.probe)
	switch f.Outcome {
	case impair.Passes:
	case impair.Cut:
		e.drop(it, &l.count.Dropped)
		return
	case impair.Lost:
		e.drop(it, &l.count.Lost)
		return
	case impair.Overflow:
		e.drop(it, &l.count.Throttled)
		return
	}
	if f.FlipBit >= 0 && h.class == stream {
		e.drop(it, &l.count.Corrupted)
		return
	}
	whole := !it.parked // copies and changes need all of it
	if f.FlipBit >= 0 && whole {
		it.data, it.corrupted = flip(it.data, h, f.FlipBit), true
	}
	if f.Throttled && !it.probe {
		l.count.Throttled++
	}
	if f.Held {
		l.count.Held++
	}
	it.overtakers = f.Overtakers
	original := *it // as it is before it is handed over
	e.send(now, it, f.Wait, f.Delay)
	if f.Duplicate && whole {
		twin := original
		twin.duplicate, twin.overtakers, twin.stage = true, 0, traveling
		e.send(now, &twin, f.Wait, f.DuplicateDelay)
	}
	if f.Replay && whole {
		again := original
		again.replay, again.overtakers, again.stage = true, 0, traveling
		e.send(now, &again, f.ReplayDelay, 0)
	}
}

// drop ends a packet and counts it.
func (e *engine) drop(it *item, counter *int64) {
	if !it.probe {
		*counter++
	}
	if it.stage == fresh || it.parked {
		e.sink.Drop(it.id)
	}
	it.stage, it.data = gone, nil
}

// send lets a packet go on after wait (its place in a queue) and delay (the rule's).
func (e *engine) send(now time.Duration, it *item, wait, delay time.Duration) {
	it.delayed = delay > 0
	due := now + wait + delay
	if it.class == stream && !it.duplicate {
		due = max(due, it.link.lastDue)
		it.link.lastDue = due
	}
	if due <= now {
		e.deliver(now, it)
		return
	}
	if kept := e.keep(it); kept != nil {
		e.schedule(kept, due)
	}
}

// keep returns an item that may outlive the call: with a copy of the packet, whose
// original is dropped, or with the packet waiting in the kernel. Nil means that too
// much is held back already, and that it was lost.
func (e *engine) keep(it *item) *item {
	if it.stage == traveling && it.seq > 0 {
		return it // kept already
	}
	if it.link.heldBytes > impair.MaxHeld || e.stats.HeldBytes > maxTotal ||
		it.parked && e.parked >= maxParked {
		e.drop(it, &it.link.count.Lost)
		return nil
	}
	kept := *it
	if it.parked {
		e.parked++
		kept.data = nil
	} else {
		kept.data = append([]byte(nil), it.data...)
		if it.stage == fresh {
			e.sink.Drop(it.id)
		}
	}
	kept.stage = traveling
	kept.link.heldBytes += kept.size
	e.stats.HeldBytes += kept.size
	e.stats.HeldPackets++
	return &kept
}

// letGo takes a kept item off the books.
func (e *engine) letGo(it *item) {
	if it.seq == 0 {
		return // was never kept
	}
	it.link.heldBytes -= it.size
	e.stats.HeldBytes -= it.size
	e.stats.HeldPackets--
	if it.parked {
		e.parked--
	}
}

func (e *engine) schedule(it *item, due time.Duration) {
	e.seq++
	it.due, it.seq = due, e.seq
	heap.Push(&e.queue, it)
}

// deliver is the end of the delay: the packet goes on, or is held back so that others
// overtake it.
func (e *engine) deliver(now time.Duration, it *item) {
	if it.overtakers > 0 {
		if kept := e.keep(it); kept != nil {
			kept.stage = waiting
			kept.link.held = append(kept.link.held, kept)
			e.schedule(kept, now+impair.MaxHold)
		}
		return
	}
	if e.emit(it) && !it.probe {
		e.overtake(it.link)
	}
}

// overtake notes that a message went past the waiting ones and sends on those that
// have been overtaken often enough.
func (e *engine) overtake(l *link) {
	if len(l.held) == 0 {
		return
	}
	var free []*item
	l.held = slices.DeleteFunc(l.held, func(it *item) bool {
		it.overtaken++
		if it.overtaken < it.overtakers {
			return false
		}
		free = append(free, it)
		return true
	})
	for _, it := range free {
		e.emit(it)
	}
}

// emit sends a packet on, unless its link has been cut meanwhile, and reports whether
// it did.
func (e *engine) emit(it *item) bool {
	e.letGo(it)
	l := it.link
	switch {
	case l.rules[it.class].Cut:
		e.drop(it, &l.count.Dropped)
		return false
	case it.stage != fresh && !it.parked:
		if !e.sink.Inject(it.data, it.device) {
			e.stats.Failed++
			it.stage, it.data = gone, nil
			return false
		}
	case it.corrupted:
		e.sink.Replace(it.id, it.data)
	default:
		e.sink.Accept(it.id)
	}
	it.stage, it.data = gone, nil
	if !it.probe {
		l.tally(it)
	}
	return true
}

// tally counts a packet that went on and what was done to it.
func (l *link) tally(it *item) {
	switch {
	case it.replay:
		l.count.Replayed++
		return
	case it.duplicate:
		l.count.Duplicated++
		return
	}
	l.count.Passed++
	if it.corrupted {
		l.count.Corrupted++
	}
	if it.delayed {
		l.count.Delayed++
	}
	if it.overtaken > 0 {
		l.count.Reordered++
	}
}

// advance lets go what is due at now.
func (e *engine) advance(now time.Duration) {
	for len(e.queue) > 0 && e.queue[0].due <= now {
		it := heap.Pop(&e.queue).(*item)
		switch {
		case it.stage == gone: // overtaken
		case it.stage == waiting:
			it.link.held = slices.DeleteFunc(it.link.held, func(o *item) bool { return o == it })
			e.emit(it)
		default:
			e.deliver(now, it)
		}
	}
}

// next returns when something is due; false means that nothing is held back.
func (e *engine) next() (time.Duration, bool) {
	if len(e.queue) == 0 {
		return 0, false
	}
	return e.queue[0].due, true
}

// release lets go everything at once, in the order in which it was due. Replays are
// forgotten: they are copies of what has arrived.
func (e *engine) release() {
	for len(e.queue) > 0 {
		it := heap.Pop(&e.queue).(*item)
		switch {
		case it.stage == gone: // overtaken
		case it.replay:
			e.letGo(it)
			it.stage = gone
		default:
			e.emit(it)
		}
	}
	for _, l := range e.byKey {
		l.held, l.lastDue = nil, 0
	}
}

// calm makes all links clean; what comes is still counted as theirs.
func (e *engine) calm() {
	for _, l := range e.order {
		l.rules = [classes]nemesis.Rule{}
	}
}

// status returns counters and rules' generation, links sorted by name.
func (e *engine) status() QueueStatus {
	s := QueueStatus{Generation: e.generation, Stats: e.stats, Links: []LinkCounters{}}
	for _, l := range e.byKey {
		s.Links = append(s.Links, LinkCounters{From: l.name.From, To: l.name.To, Counters: l.count})
	}
	slices.SortFunc(s.Links, func(a, b LinkCounters) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	return s
}

// itemHeap orders by due time and, among equals, by arrival, so that a constant delay
// never reorders.
type itemHeap []*item

func (h itemHeap) Len() int { return len(h) }

func (h itemHeap) Less(i, j int) bool {
	return h[i].due < h[j].due || h[i].due == h[j].due && h[i].seq < h[j].seq
}

func (h itemHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *itemHeap) Push(x any)   { *h = append(*h, x.(*item)) }

func (h *itemHeap) Pop() any {
	old := *h
	n := len(old) - 1
	x := old[n]
	old[n] = nil
	*h = old[:n]
	return x
}
