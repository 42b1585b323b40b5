package local

import (
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ordeal-dev/ordeal/cluster/impair"
	"github.com/ordeal-dev/ordeal/internal/crash"
	"github.com/ordeal-dev/ordeal/nemesis"
)

const (
	// chunkSize is the most that is read from a connection at once; a chunk is
	// what the counters of a client link call a message.
	chunkSize = 16 << 10
	// queueChunks bounds what one direction of a connection holds back; then it
	// stops reading, and the sender feels it as a full TCP window.
	queueChunks = 16
	dialTimeout = 5 * time.Second
)

// direction is one direction between the clients and a node, shared by all
// connections: its rule, its counters, its share of the line.
type direction struct {
	link  nemesis.Link
	rules *ruleCell
	count counters
	base  time.Time

	mu     sync.Mutex
	rng    *rand.Rand
	bucket impair.Bucket
}

func (d *direction) delay() time.Duration {
	r := d.rules.rule.Load()
	if r == nil || (r.Delay == 0 && r.Jitter == 0) {
		return 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return impair.Delay(d.rng, *r)
}

// reserve returns how long n bytes must wait for their turn on the line.
func (d *direction) reserve(n int) time.Duration {
	r := d.rules.rule.Load()
	if r == nil || r.Rate == 0 {
		return 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.bucket.Take(time.Since(d.base), n, r.Rate)
}

// empty forgets the queue of a line that is not slow any more.
func (d *direction) empty() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.bucket = impair.Bucket{}
}

// readSize is how much to read at once, so that a slow line is smooth.
func (d *direction) readSize() int {
	r := d.rules.rule.Load()
	if r == nil || r.Rate == 0 {
		return chunkSize
	}
	return min(chunkSize, max(256, r.Rate/20))
}

// tcpRelay is one node's stable client endpoint. It accepts for as long as the
// cluster lives; while the node is down it resets whoever connects.
//
// What a cut does is what a partition does to TCP, as far as this can be had
// without touching packets:
//
//   - An established connection falls silent in the cut direction: no byte, no
//     FIN, no RST gets through. After healing, what was held is delivered at once
//     and in order, as by the retransmission that the sender's kernel keeps
//     trying even after the program closed its socket. So a request that timed
//     out at its client may still take effect late.
//   - A connection opened during a cut of either direction is accepted (the
//     kernel does that before anybody can refuse) but leads nowhere: the SYN or
//     its answer is lost. If its client gives up before healing, nothing of it
//     ever reaches the node. If it is still waiting, it is connected on healing,
//     as by the retransmitted SYN.
type tcpRelay struct {
	node     nemesis.Node
	listener *net.TCPListener
	// toNode and toClients are the two directions.
	toNode, toClients *direction
	logger            *slog.Logger
	upstream          atomic.Pointer[string] // the node's HTTP address, nil: down

	chunks *sync.Pool // of *[]byte
	closed chan struct{}
	wg     sync.WaitGroup

	mu    sync.Mutex
	conns map[*relayed]struct{}

	probeMu sync.Mutex // held from dialing a probe until it is in probes
	probes  map[string]*tcpProbe
}

func (t *tcpRelay) addr() string { return t.listener.Addr().String() }

func (t *tcpRelay) retarget(addr *string) { t.upstream.Store(addr) }

func (t *tcpRelay) run() {
	defer t.wg.Done()
	for {
		conn, err := t.listener.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			t.logger.Warn("client relay accept", "node", t.node, "err", err)
			select {
			case <-time.After(10 * time.Millisecond): // out of descriptors, say
			case <-t.closed:
				return
			}
			continue
		}
		c := &relayed{relay: t, client: conn, done: make(chan struct{})}
		c.probe = t.takeProbe(conn.RemoteAddr().String())
		if t.track(c) {
			crash.Go(c.run)
		}
	}
}

// track adds c to the relay's connections, unless the relay is closing.
func (t *tcpRelay) track(c *relayed) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-t.closed:
		_ = c.client.Close()
		return false
	default:
	}
	t.conns[c] = struct{}{}
	t.wg.Add(1)
	return true
}

func (t *tcpRelay) forget(c *relayed) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.conns, c)
}

// close resets all connections and waits for their goroutines.
func (t *tcpRelay) close() error {
	t.mu.Lock()
	select {
	case <-t.closed:
		t.mu.Unlock()
		return nil
	default:
	}
	close(t.closed)
	err := t.listener.Close()
	for c := range t.conns {
		c.reset()
	}
	t.mu.Unlock()
	t.wg.Wait()
	return err
}

// relayed is one client's connection through the relay.
type relayed struct {
	relay  *tcpRelay
	client net.Conn
	probe  *tcpProbe // nil for a client's connection

	mu       sync.Mutex
	upstream net.Conn
	once     sync.Once
	done     chan struct{} // closed when the connection is over
}

// run connects both sides and lives until both directions have ended.
func (c *relayed) run() {
	t := c.relay
	defer t.wg.Done()
	defer t.forget(c)
	out := newPump(c, t.toNode, c.client)
	crash.Go(out.read)
	upstream, err := c.dial(out)
	if err != nil {
		t.logger.Debug("client relay dial", "node", t.node, "err", err)
		c.reset()
		return
	}
	back := newPump(c, t.toClients, upstream)
	crash.Go(back.read)
	answered := make(chan bool, 1)
	crash.Go(func() { answered <- back.write(c.client) })
	clean := out.write(upstream)
	clean = <-answered && clean
	c.finish(!clean)
}

var (
	errNodeDown   = errors.New("the node is down")
	errClientGone = errors.New("the client gave up during the cut")
)

// dial connects to the node, as soon as neither direction is cut.
func (c *relayed) dial(out *pump) (net.Conn, error) {
	t := c.relay
	if c.probe != nil {
		return c.adopt(c.probe.open())
	}
	for _, d := range []*direction{t.toNode, t.toClients} {
		if d.rules.cut() {
			d.count.dropped.Add(1)
		}
	}
	for t.toNode.rules.cut() || t.toClients.rules.cut() {
		if !t.toNode.rules.waitUncut(out.ended) || !t.toClients.rules.waitUncut(out.ended) {
			return nil, errClientGone
		}
		select {
		case <-out.ended:
			return nil, errClientGone
		case <-c.done:
			return nil, net.ErrClosed
		default:
		}
	}
	addr := t.upstream.Load()
	if addr == nil {
		return nil, errNodeDown
	}
	conn, err := net.DialTimeout("tcp", *addr, dialTimeout)
	if err != nil {
		return nil, err
	}
	return c.adopt(conn)
}

// adopt makes conn the upstream side, unless the connection is over already.
func (c *relayed) adopt(conn net.Conn) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.done:
		_ = conn.Close()
		return nil, net.ErrClosed
	default:
	}
	c.upstream = conn
	return conn, nil
}

// reset ends the connection on both sides at once, with RST.
func (c *relayed) reset() { c.finish(true) }

// finish closes both sides. Without reset, what has been written still arrives.
func (c *relayed) finish(reset bool) {
	c.once.Do(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		close(c.done)
		for _, conn := range []net.Conn{c.client, c.upstream} {
			if conn == nil {
				continue
			}
			if tcp, ok := conn.(*net.TCPConn); ok && reset {
				_ = tcp.SetLinger(0)
			}
			_ = conn.Close()
		}
	})
}

// chunk is a piece of a stream, or its end.
type chunk struct {
	data []byte
	buf  *[]byte // to be given back to chunks
	due  time.Time
	err  error // io.EOF or why reading failed
}

// newChunkPool returns a pool of buffers of chunkSize bytes.
func newChunkPool() *sync.Pool {
	return &sync.Pool{New: func() any {
		b := make([]byte, chunkSize)
		return &b
	}}
}

// pump carries one direction of one connection. Reading and writing are apart so
// that a delay does not reduce the throughput, and so that a client that gives
// up while nothing gets through is noticed.
type pump struct {
	conn  *relayed
	dir   *direction
	src   net.Conn
	queue chan chunk
	ended chan struct{} // closed when src has come to its end
}

func newPump(c *relayed, dir *direction, src net.Conn) *pump {
	c.relay.wg.Add(1)
	return &pump{
		conn:  c,
		dir:   dir,
		src:   src,
		queue: make(chan chunk, queueChunks),
		ended: make(chan struct{}),
	}
}

// read queues what comes from src until its end.
func (p *pump) read() {
	defer p.conn.relay.wg.Done()
	var last time.Time
	for {
		buf := p.conn.relay.chunks.Get().(*[]byte)
		n, err := p.src.Read((*buf)[:p.dir.readSize()])
		if n > 0 {
			if d := p.dir.delay(); d > 0 {
				// A stream keeps its order, whatever the jitter.
				if due := time.Now().Add(d); due.After(last) {
					last = due
				}
			}
			if !p.enqueue(chunk{data: (*buf)[:n], buf: buf, due: last}) {
				return
			}
		}
		if err != nil {
			close(p.ended)
			p.enqueue(chunk{due: last, err: err})
			return
		}
	}
}

func (p *pump) enqueue(c chunk) bool {
	select {
	case p.queue <- c:
		return true
	case <-p.conn.done:
		return false
	}
}

// write carries the queue to dst until the stream ends. It reports whether the
// stream ended well; if not, the connection is to be reset.
func (p *pump) write(dst net.Conn) bool {
	for {
		var c chunk
		select {
		case c = <-p.queue:
		case <-p.conn.done:
			return false
		}
		if !p.admit(c) {
			return false
		}
		switch {
		case errors.Is(c.err, io.EOF):
			return closeWrite(dst) == nil
		case c.err != nil:
			// The source is gone with a RST; so is the connection, for dst too.
			p.conn.reset()
			return false
		}
		if p.conn.probe == nil {
			// First: who has seen an effect finds it counted.
			p.dir.count.passed.Add(1)
		}
		_, err := dst.Write(c.data)
		p.conn.relay.chunks.Put(c.buf)
		if err != nil {
			// dst is gone. Its end travels back through the other direction, under
			// that direction's rule.
			return false
		}
	}
}

// admit waits until the chunk may pass: its delay, the rate, and a cut. It
// reports false when the connection ended first.
func (p *pump) admit(c chunk) bool {
	probe := p.conn.probe
	count := &p.dir.count
	if wait := time.Until(c.due); !c.due.IsZero() && wait > 0 {
		if !p.pause(wait) {
			return false
		}
		if probe == nil && c.err == nil {
			count.delayed.Add(1)
		}
	}
	if wait := p.dir.reserve(len(c.data)); wait > 0 {
		if probe == nil {
			count.throttled.Add(1)
		}
		if !p.pace(wait) {
			return false
		}
	}
	if !p.dir.rules.cut() {
		return true
	}
	if probe != nil {
		probe.blocked(p.dir)
		return false
	}
	count.dropped.Add(1)
	return p.dir.rules.waitUncut(p.conn.done)
}

// pause waits, unless the connection ends first.
func (p *pump) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.conn.done:
		return false
	}
}

// pace waits for the chunk's turn on a slow line, which ends when the line is
// healed. It reports false when the connection ends first.
func (p *pump) pace(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		changed := p.dir.rules.change()
		if p.dir.rules.get().Rate == 0 {
			p.dir.empty()
			return true
		}
		select {
		case <-timer.C:
			return true
		case <-changed:
		case <-p.conn.done:
			return false
		}
	}
}

// closeWrite passes on the end of a stream.
func closeWrite(conn net.Conn) error {
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return conn.Close()
}
