package local

import (
	"context"
	"encoding/binary"
	"log/slog"
	"maps"
	"math"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/cluster/impair"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// wire is a fabric of two nodes n1 and n2 whose ends are sockets of the test.
type wire struct {
	*fabric
	ends map[nemesis.Node]*net.UDPConn
}

var forward = nemesis.Link{From: "n1", To: "n2"}
var backward = nemesis.Link{From: "n2", To: "n1"}

func newWire(t testing.TB) *wire {
	t.Helper()
	nodes := []nemesis.Node{"n1", "n2"}
	f, err := newFabric(Config{Nodes: nodes, Seed: 7, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{fabric: f, ends: make(map[nemesis.Node]*net.UDPConn)}
	for _, n := range nodes {
		conn, err := listenUDP(0)
		if err != nil {
			t.Fatal(err)
		}
		w.ends[n] = conn
		addr := conn.LocalAddr().(*net.UDPAddr).AddrPort()
		f.retarget(n, &addresses{http: "127.0.0.1:1", peer: addr})
	}
	t.Cleanup(func() {
		if err := f.close(); err != nil {
			t.Error(err)
		}
		for _, conn := range w.ends {
			_ = conn.Close()
		}
	})
	return w
}

// send sends the datagram number i over a link.
func (w *wire) send(t testing.TB, link nemesis.Link, i int) {
	t.Helper()
	to := w.peers[link].conn.LocalAddr().(*net.UDPAddr).AddrPort()
	if _, err := w.ends[link.From].WriteToUDPAddrPort(datagram(i), to); err != nil {
		t.Fatal(err)
	}
}

const datagramSize = 32

// datagram repeats its number, so that no single bit can change unnoticed.
func datagram(i int) []byte {
	var b []byte
	for len(b) < datagramSize {
		b = binary.BigEndian.AppendUint64(b, uint64(i))
	}
	return b
}

// receive reads n datagrams and returns their contents.
func (w *wire) receive(t testing.TB, at nemesis.Node, n int) [][]byte {
	t.Helper()
	conn := w.ends[at]
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var got [][]byte
	for range n {
		buf := make([]byte, maxDatagram)
		k, _, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			t.Fatalf("%d of %d datagrams received: %v", len(got), n, err)
		}
		got = append(got, buf[:k])
	}
	return got
}

func numbers(data [][]byte) []int {
	var ns []int
	for _, d := range data {
		ns = append(ns, int(binary.BigEndian.Uint64(d)))
	}
	return ns
}

func (w *wire) set(t testing.TB, h nemesis.Handle, rules map[nemesis.Link]nemesis.Rule) {
	t.Helper()
	if err := w.SetRules(testContext(t), h, rules); err != nil {
		t.Fatal(err)
	}
}

func (w *wire) clear(t testing.TB, h nemesis.Handle) {
	t.Helper()
	if err := w.Clear(testContext(t), h); err != nil {
		t.Fatal(err)
	}
}

func (w *wire) counters(t testing.TB, link nemesis.Link) nemesis.Counters {
	t.Helper()
	all, err := w.Counters(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	return all[link]
}

// handled is how many datagrams a link has dealt with, one way or another.
func handled(c nemesis.Counters) int64 {
	return c.Passed + c.Dropped + c.Lost + c.Throttled
}

// exchange sends datagrams 0..n-1 a few at a time and waits until the link has
// dealt with them.
func (w *wire) exchange(t testing.TB, link nemesis.Link, n int) {
	t.Helper()
	before := handled(w.counters(t, link))
	for i := range n {
		w.send(t, link, i)
		if i%64 == 63 || i == n-1 {
			eventually(t, "the relay has handled the datagrams", func() bool {
				return handled(w.counters(t, link))-before >= int64(i+1)
			})
		}
	}
}

func TestCleanLinkKeepsOrderAndContent(t *testing.T) {
	w := newWire(t)
	const n = 500
	w.exchange(t, forward, n)
	for i, d := range w.receive(t, "n2", n) {
		if string(d) != string(datagram(i)) {
			t.Fatalf("datagram %d arrived as %x", i, d)
		}
	}
	want := nemesis.Counters{Passed: n}
	if got := w.counters(t, forward); got != want {
		t.Errorf("counters %+v, want %+v", got, want)
	}
	if got := w.counters(t, backward); got != (nemesis.Counters{}) {
		t.Errorf("the other direction counted %+v", got)
	}
}

func TestLargeDatagram(t *testing.T) {
	w := newWire(t)
	big := make([]byte, largeDatagram)
	to := w.peers[forward].conn.LocalAddr().(*net.UDPAddr).AddrPort()
	if _, err := w.ends["n1"].WriteToUDPAddrPort(big, to); err != nil {
		t.Fatal(err)
	}
	if got := w.receive(t, "n2", 1); len(got[0]) != len(big) {
		t.Errorf("%d bytes arrived of %d", len(got[0]), len(big))
	}
}

func TestOneWayCut(t *testing.T) {
	w := newWire(t)
	w.set(t, "cut", map[nemesis.Link]nemesis.Rule{forward: {Cut: true}})
	for i := range 20 {
		w.send(t, forward, i)
	}
	eventually(t, "all are dropped", func() bool { return w.counters(t, forward).Dropped == 20 })
	w.send(t, backward, 99)
	if got := numbers(w.receive(t, "n1", 1)); got[0] != 99 {
		t.Errorf("the other direction delivered %v", got)
	}
	w.clear(t, "cut")
	w.send(t, forward, 42)
	if got := numbers(w.receive(t, "n2", 1)); got[0] != 42 {
		t.Errorf("after healing, %v arrived first", got)
	}
	if c := w.counters(t, forward); c.Passed != 1 || c.Dropped != 20 {
		t.Errorf("counters %+v", c)
	}
}

// near tells whether a share of n trials is what a probability gives, within
// five standard deviations. The draws are seeded, so this is no flake.
func near(got int64, n int, p float64) bool {
	return math.Abs(float64(got)-p*float64(n)) <= 5*math.Sqrt(float64(n)*p*(1-p))+1
}

func TestLossDuplicateCorrupt(t *testing.T) {
	const n, share = 1000, 0.3
	for _, tc := range []struct {
		name  string
		rule  nemesis.Rule
		count func(nemesis.Counters) int64
		// arrive is how many datagrams must arrive.
		arrive func(nemesis.Counters) int64
	}{
		{"loss", nemesis.Rule{Loss: share},
			func(c nemesis.Counters) int64 { return c.Lost },
			func(c nemesis.Counters) int64 { return n - c.Lost }},
		{"duplicate", nemesis.Rule{Duplicate: share},
			func(c nemesis.Counters) int64 { return c.Duplicated },
			func(c nemesis.Counters) int64 { return n + c.Duplicated }},
		{"corrupt", nemesis.Rule{Corrupt: share},
			func(c nemesis.Counters) int64 { return c.Corrupted },
			func(nemesis.Counters) int64 { return n }},
		{"replay", nemesis.Rule{
			Replay: share, ReplayMin: 50 * time.Millisecond, ReplayMax: 80 * time.Millisecond},
			func(c nemesis.Counters) int64 { return c.Replayed },
			func(c nemesis.Counters) int64 { return n + c.Replayed }},
		{"hold", nemesis.Rule{
			Hold: share, HoldMin: 50 * time.Millisecond, HoldMax: 80 * time.Millisecond},
			func(c nemesis.Counters) int64 { return c.Held },
			func(nemesis.Counters) int64 { return n }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWire(t)
			w.set(t, "h", map[nemesis.Link]nemesis.Rule{forward: tc.rule})
			w.exchange(t, forward, n)
			eventually(t, "the effect has its share", func() bool {
				return near(tc.count(w.counters(t, forward)), n, share)
			})
			c := w.counters(t, forward)
			got := w.receive(t, "n2", int(tc.arrive(c)))
			if changed := countChanged(got); changed != c.Corrupted {
				t.Errorf("%d datagrams changed, counted %d", changed, c.Corrupted)
			}
			if repeats := int64(len(got) - countDistinct(got)); c.Corrupted == 0 &&
				repeats != c.Duplicated+c.Replayed {
				t.Errorf("%d repeats, counters %+v", repeats, c)
			}
			if w.counters(t, backward) != (nemesis.Counters{}) {
				t.Error("the other direction was touched")
			}
		})
	}
}

// TestHold holds one message back on a link that stays fast, although all messages
// are to be doubled: a second copy would come too soon.
func TestHold(t *testing.T) {
	w := newWire(t)
	w.set(t, "h", map[nemesis.Link]nemesis.Rule{forward: {
		Hold: 1, HoldMin: 300 * time.Millisecond, HoldMax: 400 * time.Millisecond, Duplicate: 1,
	}})
	w.send(t, forward, 1)
	eventually(t, "it is held back", func() bool { return w.counters(t, forward).Held == 1 })
	w.clear(t, "h")
	w.send(t, forward, 2)
	w.send(t, forward, 3)
	if got := numbers(w.receive(t, "n2", 3)); got[0] != 2 || got[1] != 3 || got[2] != 1 {
		t.Errorf("arrived %v", got)
	}
}

// countChanged counts the datagrams that are not as they were sent.
func countChanged(data [][]byte) (n int64) {
	for _, d := range data {
		if string(d) != string(datagram(int(binary.BigEndian.Uint64(d)))) {
			n++
		}
	}
	return n
}

func countDistinct(data [][]byte) int {
	seen := make(map[string]bool)
	for _, d := range data {
		seen[string(d)] = true
	}
	return len(seen)
}

func TestCorruptFlipsOneBit(t *testing.T) {
	w := newWire(t)
	w.set(t, "h", map[nemesis.Link]nemesis.Rule{forward: {Corrupt: 1}})
	for i := range 50 {
		w.send(t, forward, i)
		got := w.receive(t, "n2", 1)[0]
		bits := 0
		for j, b := range datagram(i) {
			for diff := b ^ got[j]; diff != 0; diff &= diff - 1 {
				bits++
			}
		}
		if bits != 1 {
			t.Fatalf("datagram %d came with %d bits changed", i, bits)
		}
	}
}

func TestReorder(t *testing.T) {
	w := newWire(t)
	w.set(t, "h", map[nemesis.Link]nemesis.Rule{forward: {Reorder: 0.2}})
	const n = 500
	for i := range n {
		w.send(t, forward, i)
	}
	got := numbers(w.receive(t, "n2", n))
	late := 0
	for i := 1; i < n; i++ {
		if got[i] < slices.Max(got[:i]) {
			late++
		}
	}
	c := w.counters(t, forward)
	if late == 0 || int64(late) > c.Reordered {
		t.Errorf("%d datagrams came late, %d counted", late, c.Reordered)
	}
	if !near(c.Reordered, n, 0.2) {
		t.Errorf("%d of %d reordered", c.Reordered, n)
	}
	if slices.Sort(got); got[0] != 0 || got[n-1] != n-1 || len(slices.Compact(got)) != n {
		t.Error("not every datagram arrived once")
	}
}

// A datagram that nothing overtakes is not lost, and not counted as reordered.
func TestReorderOnAnIdleLink(t *testing.T) {
	w := newWire(t)
	w.set(t, "h", map[nemesis.Link]nemesis.Rule{forward: {Reorder: 1}})
	w.send(t, forward, 5)
	if got := numbers(w.receive(t, "n2", 1)); got[0] != 5 {
		t.Errorf("%v arrived", got)
	}
	eventually(t, "it is counted", func() bool { return w.counters(t, forward).Passed == 1 })
	if c := w.counters(t, forward); c.Reordered != 0 {
		t.Errorf("counters %+v", c)
	}
}

func TestDelayAndJitter(t *testing.T) {
	for _, tc := range []struct {
		name     string
		rule     nemesis.Rule
		min      time.Duration
		inOrder  bool
		datagram int
	}{
		{name: "constant", rule: nemesis.Rule{Delay: 60 * time.Millisecond},
			min: 60 * time.Millisecond, inOrder: true},
		{name: "jitter", rule: nemesis.Rule{
			Delay: 60 * time.Millisecond, Jitter: 30 * time.Millisecond},
			min: 30 * time.Millisecond},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWire(t)
			w.set(t, "h", map[nemesis.Link]nemesis.Rule{forward: tc.rule})
			const n = 50
			begin := time.Now()
			for i := range n {
				w.send(t, forward, i)
			}
			got := numbers(w.receive(t, "n2", 1))
			if took := time.Since(begin); took < tc.min {
				t.Errorf("the first came after %v, want at least %v", took, tc.min)
			}
			got = append(got, numbers(w.receive(t, "n2", n-1))...)
			if slices.IsSorted(got) != tc.inOrder {
				t.Errorf("arrived in the order %v", got)
			}
			eventually(t, "all are counted", func() bool { return w.counters(t, forward).Delayed == n })
		})
	}
}

// What is held back when a cut begins does not pass it.
func TestCutStopsWhatIsUnderWay(t *testing.T) {
	w := newWire(t)
	w.set(t, "slow", map[nemesis.Link]nemesis.Rule{forward: {Delay: 100 * time.Millisecond}})
	w.send(t, forward, 1)
	eventually(t, "it is held", func() bool { return w.peers[forward].heldBytes.Load() > 0 })
	w.set(t, "cut", map[nemesis.Link]nemesis.Rule{forward: {Cut: true}})
	eventually(t, "it is dropped", func() bool { return w.counters(t, forward).Dropped == 1 })
	if held := w.peers[forward].heldBytes.Load(); held != 0 {
		t.Errorf("%d bytes still held", held)
	}
}

func TestRate(t *testing.T) {
	w := newWire(t)
	const rate = 10_000
	w.set(t, "h", map[nemesis.Link]nemesis.Rule{forward: {Rate: rate}})
	// 64 kB into a line of 10 kB/s with a queue of a second.
	const n = 2000
	begin := time.Now()
	for i := range n {
		w.send(t, forward, i)
		if i%100 == 99 {
			eventually(t, "the relay has read", func() bool {
				return w.counters(t, forward).Throttled+w.counters(t, forward).Passed > int64(i/2)
			})
		}
	}
	const enough = 60
	got := numbers(w.receive(t, "n2", enough))
	if limit := enough*datagramSize*time.Second/rate - impair.BurstTime; time.Since(begin) < limit {
		t.Errorf("%d datagrams within %v", enough, time.Since(begin))
	}
	if !slices.IsSorted(got) {
		t.Errorf("a queue does not reorder: %v", got)
	}
	// Everything beyond the queue is dropped: what can still arrive is bounded. What is
	// due and not yet sent, on a busy machine, counts as well.
	held := w.peers[forward].heldBytes.Load()
	if held > 2*rate || held == 0 {
		t.Errorf("%d bytes in the queue", held)
	}
}

// What a link holds back is bounded; what is too much is lost, and counted.
func TestHeldBytesAreBounded(t *testing.T) {
	w := newWire(t)
	w.set(t, "h", map[nemesis.Link]nemesis.Rule{forward: {Delay: time.Hour}})
	l := w.peers[forward]
	// Not through the socket: the reading goroutine is idle, and nothing else sends.
	data, src := make([]byte, 60_000), netip.MustParseAddrPort("127.0.0.1:9")
	const n = 2 * impair.MaxHeld / 60_000
	for range n {
		l.receive(data, src)
	}
	if held := l.heldBytes.Load(); held < impair.MaxHeld || held > impair.MaxHeld+60_000 {
		t.Errorf("%d bytes held", held)
	}
	if lost := w.counters(t, forward).Lost; lost < n/2-2 || lost > n/2 {
		t.Errorf("%d of %d lost", lost, n)
	}
}

// A node that answers to the relay from which it heard must not hear itself.
func TestAnswerToTheRelayIsNotLoopedBack(t *testing.T) {
	w := newWire(t)
	to := w.peers[forward].conn.LocalAddr().(*net.UDPAddr).AddrPort()
	if _, err := w.ends["n2"].WriteToUDPAddrPort(datagram(1), to); err != nil {
		t.Fatal(err)
	}
	w.send(t, forward, 2)
	if got := numbers(w.receive(t, "n2", 1)); got[0] != 2 {
		t.Errorf("%v arrived", got)
	}
}

func TestOverlappingHandlesHealApart(t *testing.T) {
	w := newWire(t)
	check := func(when string, want nemesis.Rule) {
		t.Helper()
		if got := w.cell(forward).get(); got != want {
			t.Errorf("%s: %+v, want %+v", when, got, want)
		}
	}
	w.set(t, "a", map[nemesis.Link]nemesis.Rule{forward: {Loss: 0.2}, backward: {Cut: true}})
	w.set(t, "b", map[nemesis.Link]nemesis.Rule{forward: {Cut: true}})
	check("both", nemesis.Rule{Cut: true, Loss: 0.2})
	w.set(t, "a", map[nemesis.Link]nemesis.Rule{forward: {Loss: 0.5}})
	check("a replaced", nemesis.Rule{Cut: true, Loss: 0.5})
	if w.cell(backward).cut() {
		t.Error("replacing a handle's rules left an old one")
	}
	w.clear(t, "b")
	check("b cleared", nemesis.Rule{Loss: 0.5})
	w.clear(t, "never set")
	check("unknown handle cleared", nemesis.Rule{Loss: 0.5})
	w.clear(t, "a")
	check("all cleared", nemesis.Rule{})
	if w.cell(forward).rule.Load() != nil {
		t.Error("a clean link must take the fast path")
	}
}

func TestSetRulesRefusesNonsense(t *testing.T) {
	w := newWire(t)
	err := w.SetRules(testContext(t), "h", map[nemesis.Link]nemesis.Rule{
		forward:                         {Loss: 1.5, Delay: -1, HoldMin: 1},
		backward:                        {ReplayMin: 2, ReplayMax: 1, Rate: -1, Corrupt: math.NaN()},
		{From: "n1", To: "n1"}:          {Cut: true},
		{From: "n1", To: "n9"}:          {Cut: true},
		{From: "clients", To: "n9"}:     {},
		{From: nemesis.Clients, To: ""}: {},
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, part := range []string{
		"loss 1.5", "delay -1ns", "replay_max", "rate -1", "corrupt NaN", "hold_max",
		"no link n1->n1", "no link n1->n9", "no link clients->n9", "no link clients->",
	} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is missing in: %v", part, err)
		}
	}
	if w.cell(forward).get() != (nemesis.Rule{}) {
		t.Error("a refused call changed a rule")
	}
}

func TestProbe(t *testing.T) {
	w := newWire(t)
	toNode := nemesis.Link{From: nemesis.Clients, To: "n1"}
	toClients := nemesis.Link{From: "n1", To: nemesis.Clients}
	for _, tc := range []struct {
		name  string
		rules map[nemesis.Link]nemesis.Rule
		dead  []nemesis.Link
	}{
		{name: "clean"},
		{name: "one way", rules: map[nemesis.Link]nemesis.Rule{forward: {Cut: true}},
			dead: []nemesis.Link{forward}},
		{name: "all lost", rules: map[nemesis.Link]nemesis.Rule{backward: {Loss: 1}},
			dead: []nemesis.Link{backward}},
		{name: "rough but alive", rules: map[nemesis.Link]nemesis.Rule{
			forward:  {Loss: 0.3, Delay: 20 * time.Millisecond, Reorder: 1},
			backward: {Duplicate: 1, Corrupt: 0.3, Rate: 1000},
			toNode:   {Delay: 10 * time.Millisecond}}},
		{name: "clients cannot ask", rules: map[nemesis.Link]nemesis.Rule{toNode: {Cut: true}},
			dead: []nemesis.Link{toNode}},
		{name: "clients cannot hear", rules: map[nemesis.Link]nemesis.Rule{toClients: {Cut: true}},
			dead: []nemesis.Link{toClients}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := w.allCounters(t)
			w.set(t, "h", tc.rules)
			defer w.clear(t, "h")
			got, err := w.Probe(testContext(t))
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != 6 {
				t.Errorf("%d links probed, want 6", len(got))
			}
			for link, alive := range got {
				if alive == slices.Contains(tc.dead, link) {
					t.Errorf("%v: alive %v", link, alive)
				}
			}
			if after := w.allCounters(t); !maps.Equal(before, after) {
				t.Errorf("probing was counted: %v, then %v", before, after)
			}
		})
	}
}

func (w *wire) allCounters(t testing.TB) map[nemesis.Link]nemesis.Counters {
	t.Helper()
	all, err := w.Counters(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestProbeEndsWithItsContext(t *testing.T) {
	w := newWire(t)
	w.set(t, "h", map[nemesis.Link]nemesis.Rule{forward: {Delay: time.Hour}})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := w.Probe(ctx); err == nil {
		t.Error("no error")
	}
}

func TestDownNodeGetsNothing(t *testing.T) {
	w := newWire(t)
	w.retarget("n2", nil)
	w.send(t, forward, 1)
	w.set(t, "h", map[nemesis.Link]nemesis.Rule{forward: {Loss: 1}})
	w.send(t, forward, 2) // the relay reads in order: after this, 1 is dealt with
	eventually(t, "the second is lost", func() bool { return w.counters(t, forward).Lost >= 1 })
	w.clear(t, "h")
	addr := w.ends["n2"].LocalAddr().(*net.UDPAddr).AddrPort()
	w.retarget("n2", &addresses{http: "127.0.0.1:1", peer: addr})
	w.send(t, forward, 3)
	if got := numbers(w.receive(t, "n2", 1)); got[0] != 3 {
		t.Errorf("%v arrived", got)
	}
}

// A clean relay must not allocate for a datagram.
func TestCleanPathDoesNotAllocate(t *testing.T) {
	w := newWire(t)
	l := w.peers[forward]
	data, src := datagram(1), netip.MustParseAddrPort("127.0.0.1:9")
	if n := testing.AllocsPerRun(200, func() { l.receive(data, src) }); n != 0 {
		t.Errorf("%v allocations for each datagram", n)
	}
}

// BenchmarkRelay measures datagrams through clean relays in both directions at
// once, from the sender's socket to the receiver's.
func BenchmarkRelay(b *testing.B) {
	w := newWire(b)
	b.ReportAllocs()
	const window = 64
	done := make(chan int)
	for _, link := range []nemesis.Link{forward, backward} {
		go func() {
			to := w.peers[link].conn.LocalAddr().(*net.UDPAddr).AddrPort()
			data := make([]byte, 256)
			buf := make([]byte, maxDatagram)
			lost := 0
			for sent := 0; sent < b.N/2; sent += window {
				for range window {
					_, _ = w.ends[link.From].WriteToUDPAddrPort(data, to)
				}
				_ = w.ends[link.To].SetReadDeadline(time.Now().Add(time.Second))
				for range window {
					if _, _, err := w.ends[link.To].ReadFromUDPAddrPort(buf); err != nil {
						lost++
					}
				}
			}
			done <- lost
		}()
	}
	b.ResetTimer()
	if lost := <-done + <-done; lost > 0 {
		b.Errorf("%d datagrams lost", lost)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "datagrams/s")
}
