package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/ordeal-dev/ordeal/internal/crash"
	"github.com/ordeal-dev/ordeal/nemesis"
)

const (
	kindProbe = "probe"
	// nonceMemory is how many nonces a daemon remembers, nameMemory how many names
	// under each.
	nonceMemory = 256
	nameMemory  = 256
	// connFor bounds a connection of a probe.
	connFor = 2 * time.Second
)

// ProbeConfig is what a probe daemon is started with.
type ProbeConfig struct {
	Name nemesis.Node
	// Listen is the address for datagrams and connections, ":7071".
	Listen string
}

// probeDaemon answers probes and remembers whom it heard.
type probeDaemon struct {
	name     nemesis.Node
	udp      net.PacketConn
	listener net.Listener

	mu       sync.Mutex
	answered int64
	heard    map[string]map[nemesis.Node]bool // by nonce
	nonces   []string                         // oldest first
}

// openProbe opens the same port for datagrams and connections.
func openProbe(ctx context.Context, cfg ProbeConfig) (*probeDaemon, error) {
	config := net.ListenConfig{Control: markProbe}
	listener, err := config.Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for connections: %w", err)
	}
	host, _, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	port := listener.Addr().(*net.TCPAddr).Port
	udp, err := config.ListenPacket(ctx, "udp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen for datagrams: %w", err), listener.Close())
	}
	return &probeDaemon{
		name: cfg.Name, udp: udp, listener: listener, heard: make(map[string]map[nemesis.Node]bool),
	}, nil
}

func (p *probeDaemon) kind() string { return kindProbe }

func (p *probeDaemon) describe(s *Status) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.Probe = &ProbeStatus{
		Name: p.name, Listen: p.listener.Addr().String(), Answered: p.answered,
	}
}

func (p *probeDaemon) handle(r request) (answer, error) {
	if r.Do != doHeard {
		return answer{}, fmt.Errorf("a probe agent does not know how to %q", r.Do)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	names := slices.AppendSeq([]nemesis.Node{}, maps.Keys(p.heard[r.Nonce]))
	slices.Sort(names)
	return answer{Heard: &Heard{Name: p.name, Nonce: r.Nonce, From: names}}, nil
}

// run answers until ctx ends.
func (p *probeDaemon) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	var udpErr, tcpErr error
	wg.Go(crash.Guard(func() {
		defer cancel()
		udpErr = p.datagrams()
	}))
	wg.Go(crash.Guard(func() {
		defer cancel()
		tcpErr = p.connections(&wg)
	}))
	<-ctx.Done()
	err := errors.Join(p.udp.Close(), p.listener.Close())
	wg.Wait()
	return errors.Join(udpErr, tcpErr, err)
}

// datagrams answers each probe with a datagram of at most its size, so that nobody can
// have somebody else flooded.
func (p *probeDaemon) datagrams() error {
	buf := make([]byte, probeMost)
	for {
		n, from, err := p.udp.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			continue // an ICMP error of an earlier answer
		}
		if reply := p.hear(buf[:n]); reply != nil {
			_, _ = p.udp.WriteTo(reply, from)
		}
	}
}

// connections takes connections and waits until their other end closes them.
func (p *probeDaemon) connections(wg *sync.WaitGroup) error {
	for {
		conn, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		wg.Go(crash.Guard(func() {
			_ = conn.SetDeadline(time.Now().Add(connFor))
			_, _ = conn.Read(make([]byte, 1))
			_ = conn.Close()
		}))
	}
}

// hear notes who sent a probe and returns the answer; nil for what is no probe.
func (p *probeDaemon) hear(text []byte) []byte {
	var m probeMessage
	if json.Unmarshal(text, &m) != nil || m.Word != probeWord {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	names := p.heard[m.Nonce]
	if names == nil {
		names = map[nemesis.Node]bool{}
		p.heard[m.Nonce] = names
		p.nonces = append(p.nonces, m.Nonce)
		if len(p.nonces) > nonceMemory {
			delete(p.heard, p.nonces[0])
			p.nonces = p.nonces[1:]
		}
	}
	if len(names) < nameMemory {
		names[m.Name] = true
	}
	p.answered++
	reply, err := json.Marshal(probeMessage{Word: answerWord, Nonce: m.Nonce, Name: p.name})
	if err != nil {
		return nil
	}
	return reply
}

// RunProbe runs a probe daemon in this process until it is stopped, its lease ends, or
// ctx does.
func RunProbe(ctx context.Context, d DaemonConfig, cfg ProbeConfig, ready func() error) error {
	if cfg.Name == "" {
		return fmt.Errorf("%w: the probe has no name", ErrUsage)
	}
	open := func() (service, error) { return openProbe(ctx, cfg) }
	if err := serve(ctx, d, open, ready); err != nil {
		return fmt.Errorf("probe agent: %w", err)
	}
	return nil
}

// AskHeard returns whom the probe daemon of a directory has heard under a nonce.
func AskHeard(ctx context.Context, dir, nonce string) (Heard, error) {
	a, err := call(ctx, dir, request{Do: doHeard, Nonce: nonce})
	if err != nil {
		return Heard{}, fmt.Errorf("ask who was heard: %w", err)
	}
	if a.Heard == nil {
		return Heard{}, fmt.Errorf("ask who was heard: %s is no probe's directory", dir)
	}
	return *a.Heard, nil
}
