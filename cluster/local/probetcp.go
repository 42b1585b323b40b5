package local

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/ordeal-dev/ordeal/cluster/impair"
	"github.com/ordeal-dev/ordeal/internal/crash"
)

// tcpProbe is a connection through a client relay that ends at the prober
// instead of the node. Each end speaks without having heard the other, so that
// the two directions are told apart even when one of them is cut.
type tcpProbe struct {
	near, far net.Conn // the relay's end and ours
	relay     *tcpRelay

	toNode, toClients outcome
}

// outcome is what became of a probe in one direction, known once.
type outcome struct {
	once sync.Once
	ch   chan bool
}

func (o *outcome) set(arrived bool) { o.once.Do(func() { o.ch <- arrived }) }

// wait returns the outcome, false if there is none before ctx ends.
func (o *outcome) wait(ctx context.Context) bool {
	select {
	case arrived := <-o.ch:
		return arrived
	case <-ctx.Done():
	}
	select {
	case arrived := <-o.ch:
		return arrived
	default:
		return false
	}
}

// open starts our end of the probe and returns the relay's.
func (p *tcpProbe) open() net.Conn {
	p.relay.wg.Add(2)
	crash.Go(func() {
		defer p.relay.wg.Done()
		_, _ = p.far.Write([]byte{'!'})
	})
	crash.Go(func() {
		defer p.relay.wg.Done()
		if _, err := io.ReadFull(p.far, make([]byte, 1)); err == nil {
			p.toNode.set(true)
		}
	})
	return p.near
}

// blocked is told by the relay that a cut stops the probe.
func (p *tcpProbe) blocked(d *direction) {
	if d == p.relay.toNode {
		p.toNode.set(false)
	} else {
		p.toClients.set(false)
	}
}

// takeProbe returns the probe that comes from this address, if one does. The
// relay knows a probe by the address from which it was dialed.
func (t *tcpRelay) takeProbe(from string) *tcpProbe {
	t.probeMu.Lock()
	defer t.probeMu.Unlock()
	p := t.probes[from]
	delete(t.probes, from)
	return p
}

// dialProbe connects to the relay and registers the connection as a probe before
// the relay can look at it: the kernel completes a connection without the
// program that accepts it.
func (t *tcpRelay) dialProbe(ctx context.Context) (*tcpProbe, net.Conn, error) {
	near, far := net.Pipe()
	p := &tcpProbe{
		near:      near,
		far:       far,
		relay:     t,
		toNode:    outcome{ch: make(chan bool, 1)},
		toClients: outcome{ch: make(chan bool, 1)},
	}
	t.probeMu.Lock()
	defer t.probeMu.Unlock()
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", t.addr())
	if err != nil {
		return nil, nil, fmt.Errorf("probe the client relay of %s: %w", t.node, err)
	}
	t.probes[conn.LocalAddr().String()] = p
	return p, conn, nil
}

// probe reports whether bytes get through, in each direction.
func (t *tcpRelay) probe(ctx context.Context) (toNode, toClients bool, err error) {
	p, conn, err := t.dialProbe(ctx)
	if err != nil {
		return false, false, err
	}
	heard := make(chan struct{})
	defer func() {
		_ = p.far.Close()
		_ = conn.Close()
		t.takeProbe(conn.LocalAddr().String())
		<-heard
	}()
	crash.Go(func() {
		defer close(heard)
		if _, err := io.ReadFull(conn, make([]byte, 1)); err == nil {
			p.toClients.set(true)
		}
	})
	if _, err := conn.Write([]byte{'?'}); err != nil {
		return false, false, fmt.Errorf("probe the client relay of %s: %w", t.node, err)
	}
	limited, cancel := context.WithTimeout(ctx, t.patience())
	defer cancel()
	toNode, toClients = p.toNode.wait(limited), p.toClients.wait(limited)
	if err := ctx.Err(); err != nil {
		return false, false, fmt.Errorf("probe the client relay of %s: %w", t.node, err)
	}
	return toNode, toClients, nil
}

// patience is how long a probe may take as the rules are now.
func (t *tcpRelay) patience() time.Duration {
	limit := probeTries * probeEvery
	for _, d := range []*direction{t.toNode, t.toClients} {
		r := d.rules.get()
		limit += r.Delay + r.Jitter
		if r.Rate > 0 {
			limit += impair.QueueTime
		}
	}
	return limit
}
