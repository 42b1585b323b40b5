//go:build linux && (amd64 || arm64)

package agent

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/cluster/impair"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// got is a datagram that arrived.
type got struct {
	number int // -1 when a bit of it was flipped
	// trip is from its sending to its arrival, bad how many of its bits are wrong.
	trip time.Duration
	bad  int
	at   time.Duration // since the first was sent
}

// flow sends n numbered datagrams of size bytes and collects what arrives until
// nothing has come for quiet.
type flow struct {
	n, size      int
	every, quiet time.Duration
}

const flowHeader = 16 // the number, twice

func (f flow) run(t *testing.T, from, to *net.UDPConn) []got {
	t.Helper()
	sent := make([]time.Time, f.n)
	filler := bytes.Repeat([]byte{0x5a}, f.size-flowHeader)
	ticks := time.NewTicker(f.every)
	defer ticks.Stop()
	done := make(chan struct{})
	var all []got
	times := make([]time.Time, 0, f.n)
	go func() {
		defer close(done)
		buf := make([]byte, 70_000)
		for {
			_ = to.SetReadDeadline(time.Now().Add(f.quiet))
			n, err := to.Read(buf)
			if err != nil {
				return
			}
			times = append(times, time.Now())
			g := got{number: int(binary.BigEndian.Uint64(buf)), bad: abs(n-f.size) * 8}
			if again := int(binary.BigEndian.Uint64(buf[8:])); again != g.number {
				g.bad, g.number = g.bad+1, -1
			}
			for i, b := range buf[flowHeader:n] {
				if i < len(filler) {
					g.bad += bits.OnesCount8(b ^ filler[i])
				}
			}
			all = append(all, g)
		}
	}()
	for i := range f.n {
		sent[i] = time.Now()
		data := binary.BigEndian.AppendUint64(nil, uint64(i))
		data = append(append(data, data...), filler...)
		if _, err := from.WriteTo(data, to.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		<-ticks.C
	}
	<-done
	for i := range all {
		all[i].at = times[i].Sub(sent[0])
		if n := all[i].number; n >= 0 {
			all[i].trip = times[i].Sub(sent[n])
		}
	}
	return all
}

func abs(n int) int { return max(n, -n) }

// effects is what a receiver sees of a rule.
type effects struct {
	first, repeated, late, bad int
	// shortest and longest are those of the trips of first copies.
	shortest, longest time.Duration
	// end is when the last came, since the first was sent.
	end time.Duration
}

func see(all []got) (e effects) {
	seen := map[int]bool{}
	most := -1
	e.shortest = time.Hour
	for _, g := range all {
		e.end = g.at
		if g.bad > 0 {
			e.bad++
		}
		if g.number < 0 {
			continue
		}
		if seen[g.number] {
			e.repeated++
			continue
		}
		seen[g.number] = true
		e.first++
		if g.number < most {
			e.late++
		}
		most = max(most, g.number)
		e.shortest, e.longest = min(e.shortest, g.trip), max(e.longest, g.trip)
	}
	return e
}

// link returns rules of one link a->b for one rule.
func oneLink(generation int64, address string, r nemesis.Rule) Rules {
	to := netip.MustParseAddr(address)
	return Rules{Version: ProtocolVersion, Generation: generation, Links: []LinkRule{{
		From: "a", To: "b", Rule: r,
		Match: []Match{{Direction: Out, Peer: netip.PrefixFrom(to, to.BitLen())}},
	}}}
}

// Each rule's effect is seen by a real receiver, and is what the counters say.
func TestRulesOnRealDatagrams(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	agent := w.start("a")
	generation := int64(0)
	for _, family := range []map[string]string{addr4, addr6} {
		from, to := w.udp("a", family["a"], 0), w.udp("b", family["b"], 0)
		for _, tc := range ruleCases() {
			if family["a"] == addr6["a"] && !tc.v6 {
				continue
			}
			name := fmt.Sprintf("%s/%s", family["b"], tc.name)
			generation++
			before := agent.set(oneLink(generation, family["b"], tc.rule))
			all := flow{n: 200, size: 200, every: ms, quiet: max(300*ms, tc.quiet)}.run(t, from, to)
			after := agent.call("", "status")
			c := minus(after, before)
			if wrong := tc.check(see(all), c); wrong != "" {
				t.Errorf("%s: %s; seen %+v, counted %+v", name, wrong, see(all), c)
			}
			if after.Queue.Stats.Failed > 0 || after.Queue.Stats.Missed > 0 {
				t.Errorf("%s: stats %+v", name, after.Queue.Stats)
			}
		}
	}
}

// minus is what link a->b has counted between two statuses.
func minus(after, before Status) nemesis.Counters {
	l := nemesis.Link{From: "a", To: "b"}
	a, b := after.Queue.Counters()[l], before.Queue.Counters()[l]
	return nemesis.Counters{
		Passed: a.Passed - b.Passed, Dropped: a.Dropped - b.Dropped, Lost: a.Lost - b.Lost,
		Duplicated: a.Duplicated - b.Duplicated, Corrupted: a.Corrupted - b.Corrupted,
		Reordered: a.Reordered - b.Reordered, Delayed: a.Delayed - b.Delayed,
		Replayed: a.Replayed - b.Replayed, Held: a.Held - b.Held, Throttled: a.Throttled - b.Throttled,
	}
}

// ruleCase is a rule on 200 datagrams of 200 bytes, one a millisecond.
type ruleCase struct {
	name  string
	rule  nemesis.Rule
	quiet time.Duration
	v6    bool // it takes other code over IPv6
	check func(e effects, c nemesis.Counters) string
}

func ruleCases() []ruleCase {
	const n = 200
	is := func(ok bool, what string) string {
		if ok {
			return ""
		}
		return "not " + what
	}
	near := func(got int, share float64) bool {
		return float64(got) > n*share/2 && float64(got) < n*min(1, share*1.5)
	}
	return []ruleCase{
		{"clean", nemesis.Rule{}, 0, true, func(e effects, c nemesis.Counters) string {
			return is(e.first == n && e.repeated == 0 && e.late == 0 && e.bad == 0 &&
				c == nemesis.Counters{Passed: n}, "untouched")
		}},
		{"cut", nemesis.Rule{Cut: true}, 0, false, func(e effects, c nemesis.Counters) string {
			return is(e.first == 0 && c == nemesis.Counters{Dropped: n}, "cut")
		}},
		{"loss", nemesis.Rule{Loss: 0.3}, 0, false, func(e effects, c nemesis.Counters) string {
			return is(near(n-e.first, 0.3) && int(c.Lost) == n-e.first, "lost")
		}},
		{"duplicate", nemesis.Rule{Duplicate: 0.3}, 0, true, func(e effects, c nemesis.Counters) string {
			return is(e.first == n && near(e.repeated, 0.3) && int(c.Duplicated) == e.repeated, "doubled")
		}},
		{"reorder", nemesis.Rule{Reorder: 0.3}, 0, false, func(e effects, c nemesis.Counters) string {
			return is(e.first == n && near(e.late, 0.3) && int(c.Reordered) == e.late, "reordered")
		}},
		{"corrupt", nemesis.Rule{Corrupt: 0.3}, 0, true, func(e effects, c nemesis.Counters) string {
			return is(near(e.bad, 0.3) && int(c.Corrupted) == e.bad && c.Passed == n, "corrupted")
		}},
		{"delay", nemesis.Rule{Delay: 60 * ms}, 0, true, func(e effects, c nemesis.Counters) string {
			return is(e.first == n && e.late == 0 && e.shortest >= 60*ms && c.Delayed == n,
				"delayed in order")
		}},
		{"jitter", nemesis.Rule{Delay: 60 * ms, Jitter: 20 * ms}, 0, false,
			func(e effects, c nemesis.Counters) string {
				return is(e.first == n && e.shortest >= 40*ms && e.shortest < 60*ms && e.longest > 70*ms &&
					e.late > 0, "delayed by 40 to 80 ms")
			}},
		{"replay", nemesis.Rule{Replay: 0.3, ReplayMin: 300 * ms, ReplayMax: 400 * ms}, 500 * ms, false,
			func(e effects, c nemesis.Counters) string {
				return is(e.first == n && near(e.repeated, 0.3) && int(c.Replayed) == e.repeated &&
					e.shortest < 300*ms, "replayed")
			}},
		{"hold", nemesis.Rule{Hold: 0.2, HoldMin: 300 * ms, HoldMax: 400 * ms}, 500 * ms, false,
			func(e effects, c nemesis.Counters) string {
				return is(e.first == n && near(e.late, 0.2) && e.longest >= 300*ms && e.shortest < 100*ms &&
					near(int(c.Held), 0.2), "held back")
			}},
		{"rate", nemesis.Rule{Rate: 50_000}, 0, false, func(e effects, c nemesis.Counters) string {
			// 40,000 bytes take 800 ms, less what may be saved up.
			return is(e.first == n && e.late == 0 && e.end >= 800*ms-impair.BurstTime &&
				c.Throttled > 0, "throttled")
		}},
	}
}

// A datagram that is longer than the network is wide is cut by the kernel; the agent's
// own copies it has to cut itself.
func TestLongDatagrams(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	agent := w.start("a")
	for i, family := range []map[string]string{addr4, addr6} {
		from, to := w.udp("a", family["a"], 0), w.udp("b", family["b"], 0)
		agent.set(oneLink(int64(i+1), family["b"], nemesis.Rule{Delay: 5 * ms, Duplicate: 1}))
		all := flow{n: 20, size: 60_000, every: 2 * ms, quiet: 300 * ms}.run(t, from, to)
		if e := see(all); e.first != 20 || e.repeated != 20 || e.bad != 0 || e.shortest < 5*ms {
			t.Errorf("%s: seen %+v, %+v", family["b"], e, agent.call("", "status").Queue)
		}
	}
}

// What is held back on one link must not fill its sender's buffer: the program would
// block on all its links.
func TestHeldPacketsDoNotBlockTheirSender(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	agent := w.start("a")
	from, to := w.udp("a", addr4["a"], 0), w.udp("b", addr4["b"], 0)
	agent.set(oneLink(1, addr4["b"], nemesis.Rule{Delay: time.Hour}))
	_ = from.SetWriteBuffer(64 << 10)
	_ = from.SetWriteDeadline(time.Now().Add(10 * time.Second))
	const n, size = 1000, 1400
	for i := range n {
		if _, err := from.WriteTo(make([]byte, size), to.LocalAddr()); err != nil {
			t.Fatalf("datagram %d: %v", i, err)
		}
	}
	s := agent.call("", "status").Queue.Stats
	for deadline := time.Now().Add(10 * time.Second); s.Received < n && time.Now().Before(deadline); {
		s = agent.call("", "status").Queue.Stats
	}
	if s.HeldPackets != n || s.HeldBytes < n*size || s.Missed != 0 {
		t.Errorf("held %+v", s)
	}
}

// A partition is made by rules behind the queue: what they drop of the agent's own packets
// has not failed, it went over the link as the others did.
func TestPartitionBehindTheQueue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	agent := w.start("a")
	from, to := w.udp("a", addr4["a"], 0), w.udp("b", addr4["b"], 0)
	agent.set(oneLink(1, addr4["b"], nemesis.Rule{Delay: 5 * ms}))
	w.in("a", "iptables", "-w", "-A", "OUTPUT", "-d", addr4["b"], "-j", "DROP")
	e := see(flow{n: 20, size: 50, every: ms, quiet: 200 * ms}.run(t, from, to))
	s := agent.call("", "status")
	c := s.Queue.Counters()[nemesis.Link{From: "a", To: "b"}]
	if e.first != 0 || s.Queue.Stats.Failed != 0 || c != (nemesis.Counters{Passed: 20, Delayed: 20}) {
		t.Errorf("seen %+v, counted %+v, %+v", e, c, s.Queue.Stats)
	}
}

// tcpExchange sends bytes over a connection with an echo at its other end, and returns
// how long they took there and back.
func tcpExchange(t *testing.T, conn net.Conn, size int) time.Duration {
	t.Helper()
	data := bytes.Repeat([]byte("0123456789abcdef"), size/16)
	begin := time.Now()
	_ = conn.SetDeadline(begin.Add(20 * time.Second))
	go func() { _, _ = conn.Write(data) }()
	back := make([]byte, len(data))
	if _, err := io.ReadFull(conn, back); err != nil {
		t.Fatalf("echo of %d bytes: %v", size, err)
	}
	if !bytes.Equal(back, data) {
		t.Error("the stream came back changed")
	}
	return time.Since(begin)
}

// A stream arrives whole whatever is done to its packets, only later.
func TestRulesOnRealStreams(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	agent := w.start("a")
	generation := int64(0)
	for _, family := range []map[string]string{addr4, addr6} {
		port := w.echo("b", family["b"])
		for _, tc := range []struct {
			name  string
			rule  nemesis.Rule
			size  int
			least time.Duration
			ok    func(c nemesis.Counters) bool
		}{
			{"clean", nemesis.Rule{}, 1 << 20, 0, func(c nemesis.Counters) bool { return c.Passed > 10 }},
			{"delay", nemesis.Rule{Delay: 30 * ms, Jitter: 10 * ms}, 256 << 10, 20 * ms,
				func(c nemesis.Counters) bool { return c.Delayed > 10 }},
			{"rate", nemesis.Rule{Rate: 200_000}, 64 << 10, 200 * ms,
				func(c nemesis.Counters) bool { return c.Throttled > 10 }},
			{"loss", nemesis.Rule{Loss: 0.05}, 256 << 10, 0,
				func(c nemesis.Counters) bool { return c.Lost > 0 }},
			{"corrupt", nemesis.Rule{Corrupt: 0.05}, 256 << 10, 0,
				func(c nemesis.Counters) bool { return c.Corrupted > 0 }},
			{"duplicate and reorder", nemesis.Rule{Duplicate: 0.3, Reorder: 0.2}, 256 << 10, 0,
				func(c nemesis.Counters) bool { return c.Duplicated > 0 && c.Reordered > 0 }},
		} {
			t.Run(family["b"]+"/"+tc.name, func(t *testing.T) {
				generation++
				before := agent.set(oneLink(generation, family["b"], tc.rule))
				took := tcpExchange(t, w.dial("a", family["b"], port), tc.size)
				if c := minus(agent.call("", "status"), before); !tc.ok(c) || took < tc.least {
					t.Errorf("took %v, counted %+v", took, c)
				}
			})
		}
	}
}

// The links of clients: b stands for their host, the agent sits on the node they talk
// to, and sees one direction of each connection in INPUT and one in OUTPUT.
func TestLinksOfClients(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	agent := w.start("a")
	port := w.echo("a", addr4["a"])
	rules := func(generation int64, in, out nemesis.Rule) Rules {
		return Rules{Version: ProtocolVersion, Generation: generation, Links: []LinkRule{
			{From: nemesis.Clients, To: "a", Rule: in, Match: []Match{
				{Direction: In, Protocol: protoTCP, LocalPort: uint16(port)}}},
			{From: "a", To: nemesis.Clients, Rule: out, Match: []Match{
				{Direction: Out, Protocol: protoTCP, LocalPort: uint16(port)}}},
		}}
	}
	agent.set(rules(1, nemesis.Rule{}, nemesis.Rule{}))
	conn := w.dial("b", addr4["a"], port)
	// The quickest of some: the machine may be busy with other things.
	quickest := func() time.Duration {
		best := time.Hour
		for range 5 {
			best = min(best, tcpExchange(t, conn, 64))
		}
		return best
	}
	fast := quickest()
	agent.set(rules(2, nemesis.Rule{Delay: 40 * ms, Loss: 1}, nemesis.Rule{}))
	slow := quickest()
	s := agent.set(rules(3, nemesis.Rule{}, nemesis.Rule{Delay: 40 * ms}))
	back := quickest()
	if fast > 40*ms || slow < 40*ms || slow > 80*ms || back < 40*ms || back > 80*ms {
		t.Errorf("%v clean, %v and %v with a delay of 40 ms in one direction", fast, slow, back)
	}
	if c := s.Queue.Counters()[nemesis.Link{From: nemesis.Clients, To: "a"}]; c.Delayed == 0 ||
		c.Lost != 0 {
		t.Errorf("from clients: %+v", c)
	}
}

// kill -9: what was held is lost, everything else passes, and the status says so.
func TestKilledAgentLetsTrafficThrough(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	agent := w.start("a")
	from, to := w.udp("a", addr4["a"], 0), w.udp("b", addr4["b"], 0)
	s := agent.set(oneLink(1, addr4["b"], nemesis.Rule{Delay: time.Hour}))
	if e := see(flow{n: 5, size: 50, every: ms, quiet: 200 * ms}.run(t, from, to)); e.first != 0 {
		t.Fatalf("seen %+v through a delay of an hour", e)
	}
	if err := syscall.Kill(s.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for s.State == Running {
		s, _ = agent.try("", "status")
	}
	if s.State != Dead || s.Instance != "one" {
		t.Errorf("status %+v", s)
	}
	if e := see(flow{n: 20, size: 50, every: ms, quiet: 200 * ms}.run(t, from, to)); e.first != 20 {
		t.Errorf("seen %+v without an agent", e)
	}
	if _, err := agent.try(`{"version":1,"generation":2,"links":[]}`, "set"); err == nil {
		t.Error("rules were given to a dead agent")
	}
	// It can be started again, and is another one.
	s = agent.call("", "start", "--instance", "two", "--queue-num", "7")
	if s.State != Running || s.Instance != "two" || s.Queue.Generation != 0 {
		t.Errorf("status %+v", s)
	}
}

// SIGTERM, stop and the end of the lease let go what is held.
func TestEndsInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	from, to := w.udp("a", addr4["a"], 0), w.udp("b", addr4["b"], 0)
	for _, tc := range []struct {
		reason string
		lease  string
		end    func(a *agentOn, s Status)
	}{
		{reasonStop, "30s", func(a *agentOn, _ Status) { a.call("", "stop") }},
		{reasonSignal, "30s", func(_ *agentOn, s Status) {
			if err := syscall.Kill(s.PID, syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
		}},
		{reasonLease, "3s", func(*agentOn, Status) {}},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			agent := w.start("a", "--lease", tc.lease)
			s := agent.set(oneLink(1, addr4["b"], nemesis.Rule{Delay: time.Hour}))
			for i := range 5 {
				if _, err := from.WriteTo([]byte{byte(i)}, to.LocalAddr()); err != nil {
					t.Fatal(err)
				}
			}
			tc.end(agent, s)
			var order []byte
			buf := make([]byte, 100)
			_ = to.SetReadDeadline(time.Now().Add(10 * time.Second))
			for len(order) < 5 {
				if _, err := to.Read(buf); err != nil {
					t.Fatalf("after %v: %v", order, err)
				}
				order = append(order, buf[0])
			}
			if !slices.Equal(order, []byte{0, 1, 2, 3, 4}) {
				t.Errorf("let go in the order %v", order)
			}
			if ended, err := awaitEnd(t.Context(), agent.dir, 10*time.Second); err != nil || !ended {
				t.Fatalf("it still runs: %v", err)
			}
			last := agent.call("", "status")
			if last.State != Ended || last.Reason != tc.reason || last.Queue == nil ||
				last.Queue.Counters()[nemesis.Link{From: "a", To: "b"}].Passed != 5 {
				t.Errorf("last status %+v", last)
			}
		})
	}
}

// Every command may come twice, because the connection broke before its answer.
func TestCommandsCanBeRepeated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	agent := w.start("a")
	first := agent.call("", "status")
	again := agent.call("", "start", "--instance", "one", "--queue-num", "7", "--seed", "42")
	if q := again.Queue; again.PID != first.PID || q.Number != 7 || q.Mark != BypassMark {
		t.Errorf("started twice: %+v and %+v", first, again)
	}
	if _, err := agent.try("", "start", "--instance", "two", "--queue-num", "7"); err == nil ||
		!strings.Contains(err.Error(), `instance "one"`) {
		t.Errorf("another instance in the same directory: %v", err)
	}
	rival := &agentOn{w: w, node: "a", dir: t.TempDir()}
	if _, err := rival.try("", "start", "--instance", "three", "--queue-num", "7"); err == nil ||
		!strings.Contains(err.Error(), "bind queue 7") {
		t.Errorf("another agent on the same queue: %v", err)
	}
	r := oneLink(5, addr4["b"], nemesis.Rule{Loss: 0.1})
	agent.set(r)
	if s := agent.set(r); s.Queue.Generation != 5 {
		t.Errorf("status %+v", s)
	}
	for _, late := range []string{
		`{"version":1,"generation":4,"links":[]}`, `{"version":1,"generation":5,"links":[]}`,
	} {
		if _, err := agent.try(late, "set"); err == nil || !strings.Contains(err.Error(), "in force") {
			t.Errorf("late rules: %v", err)
		}
	}
	agent.call("", "stop")
	if s := agent.call("", "stop"); s.State != Ended {
		t.Errorf("stopped twice: %+v", s)
	}
	never := &agentOn{w: w, node: "a", dir: t.TempDir()}
	if s := never.call("", "stop"); s.State != Absent {
		t.Errorf("stop of what never was: %+v", s)
	}
}

// A daemon that hangs is killed by stop.
func TestStopOfAFrozenAgent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	agent := w.start("a")
	pid := agent.call("", "status").PID
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if s := agent.call("", "stop", "--timeout", "100ms"); s.State != Dead {
		t.Errorf("status %+v", s)
	}
}
