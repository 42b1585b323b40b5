package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/ordeal-dev/ordeal/target/protocol"
)

const (
	// socketBuffer is asked for; the system may give less.
	socketBuffer = 4 << 20
	// inboxSize messages wait for the event loop; more are dropped, as by a full
	// socket.
	inboxSize = 4096
	// resolveEvery host names are looked up again: containers change addresses.
	resolveEvery = 5 * time.Second
)

// transport sends and receives datagrams between peers. A message is one
// datagram, or is lost: nothing is split, repeated or put in order, so that the
// loss, duplication and reordering of messages are real.
type transport struct {
	conn     *net.UDPConn
	id       identity
	epoch    protocol.Epoch
	counters *counters
	log      *slog.Logger
	inbox    chan protocol.Message
	peers    map[protocol.NodeID]*peer
	seq      uint64 // of the last datagram; only the event loop sends
	buf      []byte
}

// peer is where to send for one member.
type peer struct {
	address string
	at      atomic.Pointer[netip.AddrPort] // nil until resolved
}

func listenPeers(ctx context.Context, bind string, log *slog.Logger) (*net.UDPConn, error) {
	var lc net.ListenConfig
	pc, err := lc.ListenPacket(ctx, "udp", bind)
	if err != nil {
		return nil, fmt.Errorf("listen for peers: %w", err)
	}
	conn := pc.(*net.UDPConn)
	if err := errors.Join(
		conn.SetReadBuffer(socketBuffer), conn.SetWriteBuffer(socketBuffer),
	); err != nil {
		log.Warn("socket buffers stay small", "error", err)
	}
	return conn, nil
}

func newTransport(conn *net.UDPConn, cfg *Config, epoch protocol.Epoch, c *counters) *transport {
	t := &transport{
		conn: conn, id: newIdentity(cfg.ClusterID, cfg.ID, cfg.Members()), epoch: epoch,
		counters: c, log: cfg.Log, inbox: make(chan protocol.Message, inboxSize),
		peers: map[protocol.NodeID]*peer{},
	}
	for id, address := range cfg.Peers {
		if id == cfg.ID {
			continue
		}
		p := &peer{address: address}
		if at, err := netip.ParseAddrPort(address); err == nil {
			p.at.Store(&at)
		}
		t.peers[id] = p
	}
	return t
}

// resolve looks up host names until the context ends; addresses of numbers are
// known from the start and never change.
func (t *transport) resolve(ctx context.Context) {
	var named []*peer
	for _, p := range t.peers {
		if p.at.Load() == nil {
			named = append(named, p)
		}
	}
	if len(named) == 0 {
		return
	}
	tick := time.NewTicker(resolveEvery)
	defer tick.Stop()
	for {
		for _, p := range named {
			if err := p.lookUp(ctx); err != nil && ctx.Err() == nil {
				t.log.Warn("peer not found", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (p *peer) lookUp(ctx context.Context) error {
	host, port, err := net.SplitHostPort(p.address)
	if err != nil {
		return err
	}
	number, err := net.DefaultResolver.LookupPort(ctx, "udp", port)
	if err != nil {
		return err
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return err
	}
	at := netip.AddrPortFrom(ips[0].Unmap(), uint16(number))
	p.at.Store(&at)
	return nil
}

// receive hands datagrams on until the socket is closed.
func (t *transport) receive() error {
	buf := make([]byte, maxDatagram+1)
	for {
		n, _, err := t.conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			// An ICMP answer to an earlier datagram; the socket is fine.
			t.log.Debug("receive", "error", err)
			continue
		}
		if reason := t.accept(buf[:n]); reason != "" {
			t.counters.drop(reason)
		}
	}
}

func (t *transport) accept(datagram []byte) drop {
	e, reason := decodeEnvelope(datagram)
	if reason == "" {
		reason = t.id.admit(e)
	}
	if reason != "" {
		return reason
	}
	m := protocol.Message{
		From: e.From, To: e.To, Epoch: e.Epoch, Payload: bytes.Clone(e.Payload),
	}
	select {
	case t.inbox <- m:
		t.counters.received.Add(1)
		return ""
	default:
		return dropOverflow
	}
}

// send writes one message. What cannot be sent is lost, and counted.
func (t *transport) send(m protocol.Message) {
	if reason := t.trySend(m); reason != "" {
		t.counters.drop(reason)
		return
	}
	t.counters.sent.Add(1)
}

func (t *transport) trySend(m protocol.Message) drop {
	p, ok := t.peers[m.To]
	if !ok {
		return dropRecipient
	}
	if len(m.Payload) > protocol.MaxPayload {
		return dropOversize
	}
	at := p.at.Load()
	if at == nil {
		return dropNoAddress
	}
	t.seq++
	t.buf = envelope{
		Cluster: t.id.cluster, Configuration: t.id.configuration, Epoch: t.epoch,
		Seq: t.seq, From: t.id.self, To: m.To, Payload: m.Payload,
	}.appendTo(t.buf[:0])
	if _, err := t.conn.WriteToUDPAddrPort(t.buf, *at); err != nil {
		t.log.Debug("send", "to", m.To, "error", err)
		return dropSend
	}
	return ""
}
