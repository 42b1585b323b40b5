package agent

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ordeal-dev/ordeal/cluster/impair"
	"github.com/ordeal-dev/ordeal/nemesis"
)

const ms = time.Millisecond

var (
	here  = netip.MustParseAddr("10.0.0.1")
	peer  = netip.MustParseAddr("10.0.0.2")
	here6 = netip.MustParseAddr("fd00::1")
	peer6 = netip.MustParseAddr("fd00::2")

	toPeer    = nemesis.Link{From: "n1", To: "n2"}
	toClients = nemesis.Link{From: "n1", To: nemesis.Clients}
	fromThem  = nemesis.Link{From: nemesis.Clients, To: "n1"}
)

// datagram makes a UDP packet with a right checksum.
func datagram(from, to netip.Addr, payload []byte) []byte {
	udp := make([]byte, udpHeader+len(payload))
	binary.BigEndian.PutUint16(udp, 1000)
	binary.BigEndian.PutUint16(udp[2:], 2000)
	binary.BigEndian.PutUint16(udp[4:], uint16(len(udp)))
	copy(udp[udpHeader:], payload)
	sum := checksum(header{src: from, dst: to}, udp)
	if sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(udp[6:], sum)
	return packet(from, to, ipUDP, udp)
}

// segment makes a TCP packet; its checksum does not matter here.
func segment(from, to netip.Addr, payload []byte) []byte {
	tcp := make([]byte, tcpHeader+len(payload))
	binary.BigEndian.PutUint16(tcp, 1000)
	binary.BigEndian.PutUint16(tcp[2:], 2000)
	tcp[12] = tcpHeader / 4 << 4
	copy(tcp[tcpHeader:], payload)
	return packet(from, to, ipTCP, tcp)
}

func packet(from, to netip.Addr, protocol byte, body []byte) []byte {
	if from.Is4() {
		ip := make([]byte, ipv4Header, ipv4Header+len(body))
		ip[0], ip[8], ip[9] = 0x45, 64, protocol
		binary.BigEndian.PutUint16(ip[2:], uint16(ipv4Header+len(body)))
		copy(ip[12:], from.AsSlice())
		copy(ip[16:], to.AsSlice())
		return append(ip, body...)
	}
	ip := make([]byte, ipv6Header, ipv6Header+len(body))
	ip[0], ip[6], ip[7] = 0x60, protocol, 64
	binary.BigEndian.PutUint16(ip[4:], uint16(len(body)))
	copy(ip[8:], from.AsSlice())
	copy(ip[24:], to.AsSlice())
	return append(ip, body...)
}

// lab is an engine between a virtual kernel and a virtual network.
type lab struct {
	t interface {
		Helper()
		Errorf(format string, args ...any)
	}
	e        *engine
	now      time.Duration
	id       uint32
	queued   map[uint32][]byte // no verdict yet
	verdicts map[uint32]string
	// sent is what left for the network, and when.
	sent []leaving
	full bool // sends fail
}

type leaving struct {
	at       time.Duration
	data     []byte
	injected bool
}

func newLab(t interface {
	Helper()
	Errorf(format string, args ...any)
}) *lab {
	l := &lab{t: t, queued: map[uint32][]byte{}, verdicts: map[uint32]string{}}
	l.e = newEngine(1, l)
	return l
}

func (l *lab) verdict(id uint32, v string) []byte {
	l.t.Helper()
	data, ok := l.queued[id]
	if !ok {
		l.t.Errorf("packet %d: %s after %q", id, v, l.verdicts[id])
	}
	delete(l.queued, id)
	l.verdicts[id] = v
	return data
}

func (l *lab) Accept(id uint32) {
	l.sent = append(l.sent, leaving{at: l.now, data: l.verdict(id, "accept")})
}

func (l *lab) Replace(id uint32, data []byte) {
	l.verdict(id, "replace")
	l.sent = append(l.sent, leaving{at: l.now, data: bytes.Clone(data)})
}

func (l *lab) Drop(id uint32) { l.verdict(id, "drop") }

func (l *lab) Inject(data []byte, _ uint32) bool {
	if l.full {
		return false
	}
	l.sent = append(l.sent, leaving{at: l.now, data: bytes.Clone(data), injected: true})
	return true
}

// rules puts one rule on all three links.
func (l *lab) rules(r nemesis.Rule) {
	l.e.setRules(Rules{Generation: l.e.generation + 1, Links: []LinkRule{
		{From: toPeer.From, To: toPeer.To, Rule: r, Match: []Match{
			{Direction: Out, Peer: netip.PrefixFrom(peer, 32)},
			{Direction: Out, Peer: netip.PrefixFrom(peer6, 128), Protocol: protoUDP, PeerPort: 2000},
		}},
		{From: toClients.From, To: toClients.To, Rule: r, Match: []Match{
			{Direction: Out, Protocol: protoTCP, LocalPort: 1000}}},
		{From: fromThem.From, To: fromThem.To, Rule: r, Match: []Match{
			{Direction: In, Protocol: protoTCP, LocalPort: 2000}}},
	}})
}

func (l *lab) arrive(d Direction, data []byte) {
	l.id++
	l.queued[l.id] = data
	// The engine only borrows the bytes.
	borrowed := bytes.Clone(data)
	l.e.receive(l.now, arrival{id: l.id, direction: d, data: borrowed, whole: true})
	clear(borrowed)
}

// number sends datagram i to the peer.
func (l *lab) number(i int) { l.arrive(Out, datagram(here, peer, numbered(i))) }

// probe sends it as a probe.
func (l *lab) probe(i int) {
	l.id++
	data := datagram(here, peer, numbered(i))
	l.queued[l.id] = data
	l.e.receive(l.now, arrival{id: l.id, direction: Out, data: data, whole: true, probe: true})
}

func numbered(i int) []byte { return fmt.Appendf(nil, "message %06d", i) }

// until lets virtual time pass to at, stopping wherever something is due.
func (l *lab) until(at time.Duration) {
	for {
		due, ok := l.e.next()
		if !ok || due > at {
			break
		}
		l.now = max(l.now, due)
		l.e.advance(l.now)
	}
	l.now = at
}

// numbers returns what left, in its order.
func (l *lab) numbers() []int {
	var all []int
	for _, s := range l.sent {
		h, _ := parse(s.data)
		var i int
		if _, err := fmt.Sscanf(string(s.data[h.payload:]), "message %d", &i); err != nil {
			i = -1
		}
		all = append(all, i)
	}
	return all
}

func (l *lab) count(name nemesis.Link) nemesis.Counters {
	return l.e.status().Counters()[name]
}

func TestCleanLinkPasses(t *testing.T) {
	l := newLab(t)
	l.number(1) // before any rules
	l.rules(nemesis.Rule{})
	l.number(2)
	l.arrive(In, datagram(peer, here, numbered(3)))
	l.arrive(Out, []byte("no packet"))
	if got := l.numbers(); !slices.Equal(got, []int{1, 2, 3, -1}) {
		t.Errorf("%v left", got)
	}
	s := l.e.status()
	if s.Stats != (QueueStats{Received: 4, Unmatched: 3}) {
		t.Errorf("stats %+v", s.Stats)
	}
	if c := l.count(toPeer); c != (nemesis.Counters{Passed: 1}) {
		t.Errorf("counters %+v", c)
	}
}

// Each row is one rule with certain effects on one datagram.
func TestRulesOnDatagrams(t *testing.T) {
	for _, tc := range []struct {
		name string
		rule nemesis.Rule
		at   []time.Duration // when it and its copies leave
		want nemesis.Counters
	}{
		{"cut", nemesis.Rule{Cut: true}, nil, nemesis.Counters{Dropped: 1}},
		{"loss", nemesis.Rule{Loss: 1}, nil, nemesis.Counters{Lost: 1}},
		{"duplicate", nemesis.Rule{Duplicate: 1}, []time.Duration{0, 0},
			nemesis.Counters{Passed: 1, Duplicated: 1}},
		{"corrupt", nemesis.Rule{Corrupt: 1}, []time.Duration{0},
			nemesis.Counters{Passed: 1, Corrupted: 1}},
		{"delay", nemesis.Rule{Delay: 7 * ms}, []time.Duration{7 * ms},
			nemesis.Counters{Passed: 1, Delayed: 1}},
		{"replay", nemesis.Rule{Replay: 1, ReplayMin: 9 * ms, ReplayMax: 9 * ms},
			[]time.Duration{0, 9 * ms}, nemesis.Counters{Passed: 1, Replayed: 1}},
		{"hold", nemesis.Rule{Hold: 1, HoldMin: 5 * ms, HoldMax: 5 * ms, Duplicate: 1},
			[]time.Duration{5 * ms}, nemesis.Counters{Passed: 1, Held: 1}},
		{"reorder on an idle link", nemesis.Rule{Reorder: 1}, []time.Duration{impair.MaxHold},
			nemesis.Counters{Passed: 1}},
		{"rate", nemesis.Rule{Rate: 140}, []time.Duration{100 * ms},
			nemesis.Counters{Passed: 1, Throttled: 1}},
		{"delayed copies", nemesis.Rule{Delay: 3 * ms, Duplicate: 1},
			[]time.Duration{3 * ms, 3 * ms},
			nemesis.Counters{Passed: 1, Delayed: 1, Duplicated: 1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := newLab(t)
			l.rules(tc.rule)
			l.number(1)
			l.until(time.Second)
			var at []time.Duration
			for _, s := range l.sent {
				at = append(at, s.at)
			}
			if !slices.Equal(at, tc.at) {
				t.Errorf("left at %v, want %v", at, tc.at)
			}
			if c := l.count(toPeer); c != tc.want {
				t.Errorf("counters %+v, want %+v", c, tc.want)
			}
		})
	}
}

// What has a meaning on a stream, and what on the links of clients.
func TestRulesOnStreams(t *testing.T) {
	all := nemesis.Rule{
		Duplicate: 1, Replay: 1, ReplayMin: ms, ReplayMax: ms, Hold: 1, HoldMin: ms, HoldMax: ms,
	}
	data := []byte("some bytes")
	stranger := netip.MustParseAddr("10.9.9.9")
	for _, tc := range []struct {
		name string
		rule nemesis.Rule
		dir  Direction
		data []byte
		link nemesis.Link
		want nemesis.Counters
		sent int
	}{
		{"between nodes", all, Out, segment(here, peer, data), toPeer,
			nemesis.Counters{Passed: 1, Duplicated: 1}, 2},
		{"corruption between nodes", nemesis.Rule{Corrupt: 1}, Out, segment(here, peer, data), toPeer,
			nemesis.Counters{Corrupted: 1}, 0},
		{"nothing to corrupt", nemesis.Rule{Corrupt: 1}, Out, segment(here, peer, nil), toPeer,
			nemesis.Counters{Passed: 1}, 1},
		{"loss between nodes", nemesis.Rule{Loss: 1}, Out, segment(here, peer, data), toPeer,
			nemesis.Counters{Lost: 1}, 0},
		{"to clients", all, Out, segment(here, stranger, data), toClients,
			nemesis.Counters{Passed: 1}, 1},
		{"loss to clients", nemesis.Rule{Loss: 1, Corrupt: 1}, Out, segment(here, stranger, data),
			toClients, nemesis.Counters{Passed: 1}, 1},
		{"delay from clients", nemesis.Rule{Delay: ms}, In, segment(stranger, here, data), fromThem,
			nemesis.Counters{Passed: 1, Delayed: 1}, 1},
		{"cut from clients", nemesis.Rule{Cut: true}, In, segment(stranger, here, data), fromThem,
			nemesis.Counters{Dropped: 1}, 0},
		{"ICMP", nemesis.Rule{Duplicate: 1, Corrupt: 1, Loss: 1}, Out, packet(here, peer, 1, data),
			toPeer, nemesis.Counters{Lost: 1}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := newLab(t)
			l.rules(tc.rule)
			l.arrive(tc.dir, tc.data)
			l.until(time.Second)
			if c := l.count(tc.link); c != tc.want || len(l.sent) != tc.sent {
				t.Errorf("%d left, counters %+v, want %d, %+v", len(l.sent), c, tc.sent, tc.want)
			}
			for _, s := range l.sent {
				if !bytes.Equal(s.data, tc.data) {
					t.Errorf("%x became %x", tc.data, s.data)
				}
			}
		})
	}
}

// What comes in waits in the kernel, what goes out does not: its sender's buffer would
// fill up.
func TestWhereAPacketWaits(t *testing.T) {
	l := newLab(t)
	l.rules(nemesis.Rule{Delay: ms})
	l.number(1)
	l.arrive(In, segment(peer, here, numbered(2)))
	if l.verdicts[1] != "drop" || l.verdicts[2] != "" {
		t.Errorf("verdicts %v", l.verdicts)
	}
	l.until(ms)
	if got := l.numbers(); !slices.Equal(got, []int{1, 2}) ||
		!l.sent[0].injected || l.sent[1].injected {
		t.Errorf("%v left: %+v", got, l.sent)
	}
}

func TestConstantDelayKeepsTheOrder(t *testing.T) {
	l := newLab(t)
	l.rules(nemesis.Rule{Delay: 20 * ms})
	var want []int
	for i := range 300 {
		l.until(time.Duration(i/3) * ms)
		l.number(i)
		want = append(want, i)
	}
	l.until(time.Second)
	if got := l.numbers(); !slices.Equal(got, want) {
		t.Errorf("left in the order %v", got)
	}
}

// A stream keeps its order whatever the jitter, also when the rule has gone.
func TestStreamsKeepTheirOrder(t *testing.T) {
	l := newLab(t)
	l.rules(nemesis.Rule{Delay: 20 * ms, Jitter: 20 * ms})
	var want []int
	for i := range 200 {
		l.until(time.Duration(i) * ms)
		if i == 150 {
			l.rules(nemesis.Rule{})
		}
		l.arrive(Out, segment(here, peer, numbered(i)))
		want = append(want, i)
	}
	l.until(time.Second)
	if got := l.numbers(); !slices.Equal(got, want) {
		t.Errorf("left in the order %v", got)
	}
}

func TestReorder(t *testing.T) {
	l := newLab(t)
	l.rules(nemesis.Rule{Reorder: 0.2})
	for i := range 500 {
		l.until(time.Duration(i) * ms)
		l.number(i)
	}
	l.until(time.Minute)
	got := l.numbers()
	late := 0
	for at, i := range got {
		if slices.ContainsFunc(got[:at], func(before int) bool { return before > i }) {
			late++
		}
	}
	if c := l.count(toPeer); len(got) != 500 || late < 50 || int64(late) != c.Reordered {
		t.Errorf("%d left, %d late, counters %+v", len(got), late, c)
	}
}

// What is due goes before what comes, even if nobody has looked at the clock meanwhile.
func TestWhatIsDueGoesFirst(t *testing.T) {
	l := newLab(t)
	l.rules(nemesis.Rule{Delay: 5 * ms})
	l.number(1)
	l.rules(nemesis.Rule{})
	l.now = 10 * ms
	l.number(2)
	if got := l.numbers(); !slices.Equal(got, []int{1, 2}) {
		t.Errorf("%v left", got)
	}
}

// A message is overtaken by messages, not by probes.
func TestProbesDoNotOvertake(t *testing.T) {
	l := newLab(t)
	l.rules(nemesis.Rule{Reorder: 1})
	l.number(1)
	l.rules(nemesis.Rule{ReplayMin: ms, ReplayMax: ms}) // does nothing
	for range 2 * impair.MaxOvertakers {
		l.probe(7)
	}
	if got := l.numbers(); slices.Contains(got, 1) {
		t.Errorf("%v left", got)
	}
	for i := range impair.MaxOvertakers {
		l.number(2 + i)
	}
	if got := l.numbers(); !slices.Contains(got, 1) || l.count(toPeer).Reordered != 1 {
		t.Errorf("%v left", got)
	}
}

func TestCutConcernsWhatIsHeldBack(t *testing.T) {
	l := newLab(t)
	l.rules(nemesis.Rule{Delay: 20 * ms})
	l.number(1)
	l.arrive(In, segment(peer, here, numbered(2)))
	l.until(5 * ms)
	l.rules(nemesis.Rule{Cut: true})
	l.until(time.Second)
	if len(l.sent) != 0 || l.verdicts[2] != "drop" {
		t.Errorf("%v left, verdicts %v", l.numbers(), l.verdicts)
	}
	if a, b := l.count(toPeer).Dropped, l.count(fromThem).Dropped; a != 1 || b != 1 {
		t.Errorf("%d and %d dropped", a, b)
	}
}

func TestReleaseLetsGoEverythingButReplays(t *testing.T) {
	l := newLab(t)
	l.rules(nemesis.Rule{Delay: time.Hour, Jitter: 30 * time.Minute, Reorder: 0.5, Replay: 1,
		ReplayMin: time.Hour, ReplayMax: time.Hour})
	for i := range 50 {
		l.number(i)
	}
	l.arrive(In, segment(peer, here, numbered(50)))
	l.e.release()
	got := l.numbers()
	slices.Sort(got)
	if len(got) != 51 || got[0] != 0 || got[50] != 50 {
		t.Errorf("%v left", got)
	}
	if s := l.e.status().Stats; s.HeldBytes != 0 || s.HeldPackets != 0 || l.e.parked != 0 {
		t.Errorf("still held: %+v", s)
	}
	if len(l.queued) != 0 {
		t.Errorf("%d packets without a verdict", len(l.queued))
	}
}

func TestMemoryIsBounded(t *testing.T) {
	l := newLab(t)
	l.rules(nemesis.Rule{Delay: time.Hour})
	big := datagram(here, peer, make([]byte, 60_000))
	const n = 2 * impair.MaxHeld / 60_000
	for range n {
		l.id++
		l.queued[l.id] = nil
		l.e.receive(l.now, arrival{id: l.id, direction: Out, data: big, whole: true})
	}
	if s := l.e.status().Stats; s.HeldBytes > impair.MaxHeld+int64(len(big)) {
		t.Errorf("%d bytes held", s.HeldBytes)
	}
	if lost := l.count(toPeer).Lost; lost < n/2-2 {
		t.Errorf("%d of %d lost", lost, n)
	}
	for range maxParked + 10 {
		l.arrive(In, segment(peer, here, nil))
	}
	if lost := l.count(fromThem).Lost; lost != 10 || len(l.queued) != maxParked {
		t.Errorf("%d lost, %d in the kernel", lost, len(l.queued))
	}
}

func TestAPacketThatIsNotWhole(t *testing.T) {
	l := newLab(t)
	l.rules(nemesis.Rule{Delay: ms, Duplicate: 1, Corrupt: 1, Replay: 1})
	data := datagram(here, peer, numbered(1))
	l.id++
	l.queued[l.id] = data
	l.e.receive(0, arrival{id: l.id, direction: Out, data: data[:30], whole: false})
	l.until(time.Second)
	if got := l.numbers(); !slices.Equal(got, []int{1}) || l.sent[0].at != ms {
		t.Errorf("%v left: %+v", got, l.sent)
	}
	if c := l.count(toPeer); c != (nemesis.Counters{Passed: 1, Delayed: 1}) {
		t.Errorf("counters %+v", c)
	}
}

func TestProbesAreNotCounted(t *testing.T) {
	l := newLab(t)
	for _, r := range []nemesis.Rule{
		{}, {Cut: true}, {Loss: 1}, {Delay: ms, Duplicate: 1}, {Rate: 10},
		{Hold: 1, HoldMin: time.Hour, HoldMax: time.Hour},
	} {
		l.rules(r)
		l.probe(7)
	}
	l.until(time.Minute)
	if c := l.count(toPeer); c != (nemesis.Counters{}) {
		t.Errorf("counters %+v", c)
	}
	if s := l.e.status().Stats; s.Probes != 6 || len(l.sent) != 5 {
		t.Errorf("%d left, stats %+v", len(l.sent), s)
	}
}

func TestAFailedSendIsToldAndLost(t *testing.T) {
	l := newLab(t)
	l.rules(nemesis.Rule{Delay: ms})
	l.number(1)
	l.full = true
	l.until(time.Second)
	s := l.e.status()
	if c := l.count(toPeer); c != (nemesis.Counters{}) || s.Stats.Failed != 1 ||
		s.Stats.HeldBytes != 0 {
		t.Errorf("counters %+v, stats %+v", c, s.Stats)
	}
}

// Counters and packets in flight outlive their rules.
func TestNewRulesKeepTheCounters(t *testing.T) {
	l := newLab(t)
	l.rules(nemesis.Rule{Delay: 10 * ms})
	l.number(1)
	l.e.setRules(Rules{Generation: 9})
	l.number(2)
	l.until(time.Second)
	if got := l.numbers(); !slices.Equal(got, []int{2, 1}) {
		t.Errorf("%v left", got)
	}
	s := l.e.status()
	if l.count(toPeer) != (nemesis.Counters{Passed: 1, Delayed: 1}) || s.Generation != 9 ||
		s.Stats.Unmatched != 1 {
		t.Errorf("status %+v", s)
	}
}

// The same seed and packets make the same choices.
func TestOneSeedDecides(t *testing.T) {
	play := func(seed uint64) []int {
		l := newLab(t)
		l.e.seed = seed
		l.rules(nemesis.Rule{Loss: 0.2, Duplicate: 0.2, Reorder: 0.2, Delay: 9 * ms, Jitter: 9 * ms,
			Hold: 0.1, HoldMin: ms, HoldMax: 90 * ms})
		for i := range 200 {
			l.until(time.Duration(i) * ms)
			l.number(i)
		}
		l.until(time.Minute)
		return l.numbers()
	}
	if !slices.Equal(play(5), play(5)) {
		t.Error("the same seed, another run")
	}
	if slices.Equal(play(5), play(6)) {
		t.Error("another seed, the same run")
	}
}

func drawRule(t *rapid.T, name string) nemesis.Rule {
	share := rapid.SampledFrom([]float64{0, 0, 0, 0.1, 0.5, 1})
	span := rapid.SampledFrom([]time.Duration{0, 0, ms, 30 * ms, 400 * ms})
	r := nemesis.Rule{
		Cut:       rapid.IntRange(0, 9).Draw(t, name+" cut") == 0,
		Loss:      share.Draw(t, name+" loss"),
		Duplicate: share.Draw(t, name+" duplicate"),
		Corrupt:   share.Draw(t, name+" corrupt"),
		Reorder:   share.Draw(t, name+" reorder"),
		Delay:     span.Draw(t, name+" delay"),
		Jitter:    span.Draw(t, name+" jitter"),
		Replay:    share.Draw(t, name+" replay"),
		ReplayMin: span.Draw(t, name+" replay_min"),
		Hold:      share.Draw(t, name+" hold"),
		HoldMin:   span.Draw(t, name+" hold_min"),
		Rate:      rapid.SampledFrom([]int{0, 0, 500, 100_000}).Draw(t, name+" rate"),
	}
	r.ReplayMax = r.ReplayMin + span.Draw(t, name+" replay more")
	r.HoldMax = r.HoldMin + span.Draw(t, name+" hold more")
	return r
}

// Whatever rules come and go: every packet gets exactly one verdict (the lab sees to
// "at most"), what left is what was counted, and in the end nothing is held.
func TestBooksBalance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLab(t)
		l.rules(drawRule(t, "first"))
		n := rapid.IntRange(1, 120).Draw(t, "packets")
		for i := range n {
			if rapid.IntRange(0, 19).Draw(t, "change") == 0 {
				l.rules(drawRule(t, "next"))
			}
			l.until(l.now + rapid.SampledFrom([]time.Duration{0, ms, 90 * ms}).Draw(t, "pause"))
			switch rapid.IntRange(0, 4).Draw(t, "kind") {
			case 0, 1:
				l.number(i)
			case 2:
				l.arrive(Out, datagram(here6, peer6, numbered(i)))
			case 3:
				l.arrive(Out, segment(here, peer, numbered(i)))
			case 4:
				l.arrive(In, segment(peer, here, numbered(i)))
			}
		}
		if rapid.Bool().Draw(t, "wait") {
			l.until(l.now + time.Hour)
		}
		l.e.release()
		s := l.e.status()
		if len(l.queued) != 0 || s.Stats.HeldBytes != 0 || s.Stats.HeldPackets != 0 || l.e.parked != 0 {
			t.Fatalf("%d without a verdict, stats %+v", len(l.queued), s.Stats)
		}
		var sum nemesis.Counters
		for _, c := range s.Links {
			sum.Passed += c.Passed
			sum.Duplicated += c.Duplicated
			sum.Replayed += c.Replayed
		}
		if got := int64(len(l.sent)); got != sum.Passed+sum.Duplicated+sum.Replayed {
			t.Errorf("%d left, counted %+v", got, sum)
		}
		if sum.Passed > int64(n) || s.Stats.Received != int64(n) {
			t.Errorf("%d packets, counted %+v, %+v", n, sum, s.Stats)
		}
		for _, sent := range l.sent {
			if h, ok := parse(sent.data); !ok || h.class == message &&
				checksum(h, sent.data[h.transport:]) != 0 {
				t.Errorf("a packet left with a wrong checksum: %x", sent.data)
			}
		}
	})
}
