package local

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ordeal-dev/ordeal/cluster/impair"
	"github.com/ordeal-dev/ordeal/nemesis"
)

const (
	// maxDatagram is more than any UDP datagram over IPv4 can carry.
	maxDatagram = 64 << 10
	// socketBuffer is asked of the kernel for each relay socket; it gives less
	// where it is told to. On macOS it also lifts the 9 KiB limit on sending.
	socketBuffer = 1 << 20
)

// udpLink is the relay of one directed link between two nodes. The sender is
// told its address as that of the peer. A clean link costs a read and a write,
// without allocation or lock; everything else goes through impair.
type udpLink struct {
	link   nemesis.Link
	conn   *net.UDPConn
	rules  *ruleCell
	count  counters
	sched  *scheduler
	probes *prober
	logger *slog.Logger
	done   chan struct{}

	// dest is the receiver's real address, nil while it does not run: a dead
	// node's port may already belong to somebody else.
	dest atomic.Pointer[netip.AddrPort]

	line impair.Line // only the reading goroutine uses it

	heldBytes atomic.Int64
	heldCount atomic.Int32
	mu        sync.Mutex
	held      []*packet // by Reorder, oldest first
}

// packet is a datagram on its way through a link that is not clean.
type packet struct {
	link  *udpLink
	data  []byte
	probe bool
	// What happened to it, counted when it is delivered.
	corrupted, delayed, duplicate, replay bool
	// owned is set once data is a copy, counted in the link's heldBytes.
	owned bool

	// overtakers is how many later messages are to pass it, 0 to keep the order;
	// overtaken how many did.
	overtakers, overtaken int
	stage                 stage // guarded by link.mu

	due time.Duration // scheduler
	seq uint64        // scheduler
}

// stage is where a packet is.
type stage uint8

const (
	traveling stage = iota
	held            // in link.held
	gone            // has been in link.held
)

// listenUDP opens a relay socket; port 0 takes any.
func listenUDP(port int) (*net.UDPConn, error) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	if err != nil {
		return nil, err
	}
	// Smaller buffers than asked for are no reason to fail.
	_ = conn.SetReadBuffer(socketBuffer)
	_ = conn.SetWriteBuffer(socketBuffer)
	return conn, nil
}

func (l *udpLink) addr() string { return l.conn.LocalAddr().String() }

// retarget sets the receiver's address; nil says that the node is down.
func (l *udpLink) retarget(to *netip.AddrPort) { l.dest.Store(to) }

func (l *udpLink) run() {
	defer close(l.done)
	buf := make([]byte, maxDatagram)
	for {
		n, src, err := l.conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// An ICMP error of an earlier send can surface here; it concerns
			// one datagram, and loss is allowed.
			l.logger.Debug("relay read", "link", l.name(), "err", err)
			continue
		}
		l.receive(buf[:n], src)
	}
}

func (l *udpLink) name() string { return fmt.Sprintf("%s->%s", l.link.From, l.link.To) }

// receive handles a datagram from the sender; data is only borrowed.
func (l *udpLink) receive(data []byte, src netip.AddrPort) {
	dest := l.dest.Load()
	if dest != nil && src == *dest {
		// The receiver answered to the relay's address instead of its own
		// peer's. Forwarding would send it to itself.
		return
	}
	probe := l.probes.recognizes(data)
	if l.rules.rule.Load() == nil && !probe {
		if dest != nil {
			l.count.passed.Add(1)
			l.write(data, *dest)
			l.overtake()
		}
		return
	}
	l.impair(data, probe)
}

// impair applies the rule in force. All of the link's random choices are made
// here, in the reading goroutine, so that they come from one seeded stream.
func (l *udpLink) impair(data []byte, probe bool) {
	r := l.rules.get()
	now := l.sched.now()
	p := packet{link: l, data: data, probe: probe}
	f := l.line.Draw(now, len(data), r, probe)
	switch f.Outcome {
	case impair.Passes:
	case impair.Cut:
		l.drop(&p, &l.count.dropped, true)
		return
	case impair.Lost:
		l.drop(&p, &l.count.lost, false)
		return
	case impair.Overflow:
		l.drop(&p, &l.count.throttled, false)
		return
	}
	if f.FlipBit >= 0 {
		p.data = append([]byte(nil), data...)
		p.data[f.FlipBit/8] ^= 1 << (f.FlipBit % 8)
		p.corrupted = true
	}
	if f.Throttled && !probe {
		l.count.throttled.Add(1)
	}
	if f.Held {
		l.count.held.Add(1)
	}
	p.overtakers = f.Overtakers
	// Copies are made before the original is handed over.
	twin, again := p, p
	l.send(&p, f.Wait, f.Delay)
	if f.Duplicate {
		twin.duplicate, twin.overtakers = true, 0
		l.send(&twin, f.Wait, f.DuplicateDelay)
	}
	if f.Replay {
		again.replay, again.overtakers = true, 0
		l.send(&again, f.ReplayDelay, 0)
	}
}

// drop counts a message that goes no further. For a probe it tells the prober
// instead; final says that trying again is of no use.
func (l *udpLink) drop(p *packet, counter *atomic.Int64, final bool) {
	if p.probe {
		l.probes.lost(p.data, final)
		return
	}
	counter.Add(1)
}

// send delivers p after wait (its place in a queue) and delay (the rule's).
func (l *udpLink) send(p *packet, wait, delay time.Duration) {
	p.delayed = delay > 0
	if wait+delay <= 0 {
		l.deliver(p)
		return
	}
	if l.keep(p) {
		l.sched.add(p, l.sched.now()+wait+delay)
	}
}

// keep makes p own its bytes; false means that the link holds too many already,
// and that p was dropped.
func (l *udpLink) keep(p *packet) bool {
	if p.owned {
		return true
	}
	if l.heldBytes.Load() > impair.MaxHeld {
		l.drop(p, &l.count.lost, false)
		return false
	}
	p.data = append([]byte(nil), p.data...)
	p.owned = true
	l.heldBytes.Add(int64(len(p.data)))
	return true
}

// fire is called by the scheduler when p is due.
func (l *udpLink) fire(p *packet) {
	l.mu.Lock()
	was := p.stage
	if was == held {
		l.unhold(p)
	}
	l.mu.Unlock()
	switch was {
	case traveling:
		l.deliver(p)
	case held:
		l.emit(p)
	case gone:
	}
}

// deliver is the end of the delay: p goes to the receiver, or is held back so
// that others overtake it.
func (l *udpLink) deliver(p *packet) {
	if p.overtakers > 0 {
		l.hold(p)
		return
	}
	if l.emit(p) && !p.probe {
		l.overtake()
	}
}

// hold puts p among the held, where overtake and the scheduler find it.
func (l *udpLink) hold(p *packet) {
	if !l.keep(p) {
		return
	}
	l.mu.Lock()
	p.stage = held
	l.held = append(l.held, p)
	l.heldCount.Add(1)
	l.mu.Unlock()
	l.sched.add(p, l.sched.now()+impair.MaxHold)
}

// unhold takes p out of the held. l.mu is locked.
func (l *udpLink) unhold(p *packet) {
	if i := slices.Index(l.held, p); i >= 0 {
		l.held = slices.Delete(l.held, i, i+1)
	}
	p.stage = gone
	l.heldCount.Add(-1)
}

// overtake notes that a message went past the held ones and sends on those that
// have been overtaken often enough.
func (l *udpLink) overtake() {
	if l.heldCount.Load() == 0 {
		return
	}
	var free []*packet
	l.mu.Lock()
	for _, p := range l.held {
		p.overtaken++
		if p.overtaken >= p.overtakers {
			free = append(free, p)
		}
	}
	for _, p := range free {
		l.unhold(p)
	}
	l.mu.Unlock()
	for _, p := range free {
		l.emit(p)
	}
}

// emit hands p to the receiver, unless the link has been cut meanwhile or the
// receiver is down, and reports whether it did. A cut link passes nothing, not
// even what set out before the cut.
func (l *udpLink) emit(p *packet) bool {
	if p.owned {
		l.heldBytes.Add(-int64(len(p.data)))
		p.owned = false
	}
	if l.rules.cut() {
		l.drop(p, &l.count.dropped, true)
		return false
	}
	if p.probe {
		l.write(p.data, l.probes.addr)
		return true
	}
	dest := l.dest.Load()
	if dest == nil {
		return false
	}
	l.tally(p) // first: who has seen an effect finds it counted
	l.write(p.data, *dest)
	return true
}

// tally counts a delivered message and what was done to it.
func (l *udpLink) tally(p *packet) {
	switch {
	case p.replay:
		l.count.replayed.Add(1)
		return
	case p.duplicate:
		l.count.duplicated.Add(1)
		return
	}
	l.count.passed.Add(1)
	if p.corrupted {
		l.count.corrupted.Add(1)
	}
	if p.delayed {
		l.count.delayed.Add(1)
	}
	if p.overtaken > 0 {
		l.count.reordered.Add(1)
	}
}

// write sends one datagram. A failed send is a lost datagram.
func (l *udpLink) write(data []byte, to netip.AddrPort) {
	if _, err := l.conn.WriteToUDPAddrPort(data, to); err != nil &&
		!errors.Is(err, net.ErrClosed) {
		l.logger.Debug("relay write", "link", l.name(), "to", to, "err", err)
	}
}

// close closes the socket and waits for the reading goroutine.
func (l *udpLink) close() error {
	err := l.conn.Close()
	<-l.done
	return err
}
