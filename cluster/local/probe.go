package local

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/ordeal-dev/ordeal/cluster/impair"
	"github.com/ordeal-dev/ordeal/internal/crash"
)

const (
	tokenSize = 16
	// probeSize is a probe datagram: token, then the probe's number.
	probeSize = tokenSize + 8
	// probeTries is how often a probe is sent before the link counts as dead;
	// it makes a link with a loss of one half all but certain to be found alive.
	probeTries = 10
	// probeEvery is the pause before a probe of which nothing was heard is sent
	// again.
	probeEvery = 100 * time.Millisecond
)

// prober sends probes through the relays and hears which arrive. A relay knows a
// probe by the secret token, treats it as any other message, and at the end of
// the link hands it to the prober instead of the node. So a probe tells of the
// link alone, whether or not the nodes at its ends are alive.
//
// Probes are not counted in the links' counters: a fault must not prove itself
// by the probe that looks for it.
type prober struct {
	token [tokenSize]byte
	conn  *net.UDPConn
	addr  netip.AddrPort
	done  chan struct{}

	mu      sync.Mutex
	next    uint64
	waiting map[uint64]*probe
}

// probe is one link's probing.
type probe struct {
	arrived chan struct{} // closed when one came through
	lost    chan bool     // one was dropped; true: by a cut
	once    sync.Once
}

func newProber() (*prober, error) {
	conn, err := listenUDP(0)
	if err != nil {
		return nil, fmt.Errorf("open the probe socket: %w", err)
	}
	p := &prober{
		conn:    conn,
		addr:    conn.LocalAddr().(*net.UDPAddr).AddrPort(),
		done:    make(chan struct{}),
		waiting: make(map[uint64]*probe),
	}
	// A secret, not a random choice of the test: nodes must not be able to forge
	// it, so it does not come from the seed. Read never fails.
	_, _ = crand.Read(p.token[:])
	crash.Go(p.run)
	return p, nil
}

// recognizes reports whether a datagram is a probe.
func (p *prober) recognizes(data []byte) bool {
	return len(data) == probeSize && bytes.Equal(data[:tokenSize], p.token[:])
}

func (p *prober) run() {
	defer close(p.done)
	buf := make([]byte, maxDatagram)
	for {
		n, err := p.conn.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || !p.recognizes(buf[:n]) {
			continue
		}
		if q := p.find(buf[:n]); q != nil {
			q.once.Do(func() { close(q.arrived) })
		}
	}
}

func (p *prober) find(data []byte) *probe {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waiting[binary.BigEndian.Uint64(data[tokenSize:])]
}

// lost is told by a relay that it dropped a probe; final says that the next one
// will fare no better.
func (p *prober) lost(data []byte, final bool) {
	q := p.find(data)
	if q == nil {
		return
	}
	select {
	case q.lost <- final:
	default:
	}
}

// probeLink sends probes through the link until one arrives or hope is gone.
func (p *prober) probeLink(ctx context.Context, l *udpLink) (bool, error) {
	q := &probe{arrived: make(chan struct{}), lost: make(chan bool, 1)}
	p.mu.Lock()
	p.next++
	number := p.next
	p.waiting[number] = q
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.waiting, number)
		p.mu.Unlock()
	}()

	data := binary.BigEndian.AppendUint64(append([]byte(nil), p.token[:]...), number)
	to := l.conn.LocalAddr().(*net.UDPAddr).AddrPort()
	for range probeTries {
		if _, err := p.conn.WriteToUDPAddrPort(data, to); err != nil {
			return false, fmt.Errorf("probe %s: %w", l.name(), err)
		}
		switch verdict, err := q.wait(ctx, probeEvery); {
		case err != nil:
			return false, fmt.Errorf("probe %s: %w", l.name(), err)
		case verdict == probeArrived:
			return true, nil
		case verdict == probeCut:
			return false, nil
		}
	}
	// The last ones may still be on their way through a slow link.
	for end := time.Now().Add(l.patience()); ; {
		verdict, err := q.wait(ctx, time.Until(end))
		if err != nil {
			return false, fmt.Errorf("probe %s: %w", l.name(), err)
		}
		if verdict != probeLost {
			return verdict == probeArrived, nil
		}
	}
}

// patience is how long a probe may take through the link as its rule is now.
func (l *udpLink) patience() time.Duration {
	r := l.rules.get()
	d := probeEvery + r.Delay + r.Jitter
	if r.Reorder > 0 {
		d += impair.MaxHold
	}
	if r.Rate > 0 {
		d += impair.QueueTime
	}
	return d
}

type probeVerdict uint8

const (
	probeSilent probeVerdict = iota
	probeArrived
	probeLost
	probeCut
)

// wait waits for news of the probe.
func (q *probe) wait(ctx context.Context, limit time.Duration) (probeVerdict, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-q.arrived:
		return probeArrived, nil
	case cut := <-q.lost:
		if cut {
			return probeCut, nil
		}
		return probeLost, nil
	case <-timer.C:
		return probeSilent, nil
	case <-ctx.Done():
		return probeSilent, ctx.Err()
	}
}

func (p *prober) close() error {
	err := p.conn.Close()
	<-p.done
	return err
}
