package remote

import (
	"context"
	crand "crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ordeal-dev/ordeal/internal/crash"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// A probe tells of one direction of a link, so it is a datagram. It is received by the
// firewall: the last rule of a link counts the probes that have come past all others, and
// drops them, so nobody has to listen. What has been counted there would have reached the
// node's programs. It is sent by the node's bash (/dev/udp), or, where that cannot send,
// by the agent; which one it is is found out on each node before there is anything else.
//
// Probes to clients arrive at a socket of the controller. A network in between may let
// no datagram through to it, or from it; so a connection that stands is taken for proof
// of both directions of a client's link, too, whatever became of the datagrams.
const (
	// probeRounds is how often probes are sent while some have not arrived. On a link
	// that loses 40 % of all messages a probe comes through all the same but once in
	// 60,000 times.
	probeRounds = 4
	// cutRounds are enough for links that are cut.
	cutRounds = 2
	// probeBurst is how many datagrams are sent in one round.
	probeBurst = 3
	// probePause lies between these.
	probePause = 10 * time.Millisecond
	// probeWait is what a round waits before it counts; each waits longer.
	probeWait = 20 * time.Millisecond
	// dialLimit bounds the attempt to connect to a node as a client.
	dialLimit = 300 * time.Millisecond
)

// bashSends is a function of shells: whether bash can send datagrams. If not, it says why.
// It need not be there, and can be built without this; it would then fail at every probe,
// and all links would look dead.
const bashSends = `bash_sends() {
  if ! command -v bash >/dev/null; then echo "there is no bash"; return 1; fi
  e=$(bash -c ': >/dev/udp/127.0.0.1/9' 2>&1) && return
  echo "its bash cannot send: $e" | sed q
  return 1
}
`

// BashSends is that function, for others who send datagrams on nodes.
func BashSends() string { return bashSends }

// noBash is what a script says in a line of its own before the reason.
const noBash = "no-bash "

// bashless returns the reason why a node's bash cannot send, "" if it can.
func bashless(out string) string {
	for line := range strings.Lines(out) {
		if why, ok := strings.CutPrefix(strings.TrimSpace(line), noBash); ok {
			return why
		}
	}
	return ""
}

// Prober says who sends a node's probes.
type Prober struct {
	Node nemesis.Node
	// Bashless is why the agent sends them, "" where bash does.
	Bashless string
}

// Probers returns who sends the probes of each node, in the configured order.
func (c *Cluster) Probers() []Prober {
	var all []Prober
	for _, n := range c.nodes() {
		all = append(all, Prober{Node: n, Bashless: c.members[n].bashless})
	}
	return all
}

// choose notes who sends the node's probes, by what was found out on it.
func (c *Cluster) choose(m *member, out string) error {
	m.bashless = bashless(out)
	if m.bashless == "" {
		return nil
	}
	if len(c.cfg.Agent) == 0 {
		return fmt.Errorf("nobody can look whether its links deliver: %s, and there is no agent",
			m.bashless)
	}
	c.cfg.Logger.Info("the agent sends probes", "node", m.name, "why", m.bashless)
	return nil
}

// probeCommand sends probes from a node to all others, and to the controller.
func (m *member) probeCommand(nonce string) Command {
	if m.bashless == "" {
		return Command{Argv: []string{"bash", "-u"}, Stdin: block(m.wall.probeScript(nonce))}
	}
	var to []string
	for _, p := range m.wall.peers {
		to = append(to, join(p.addrs[0], m.wall.probePort))
	}
	for _, a := range m.wall.controls {
		to = append(to, join(a, m.wall.answerPort))
	}
	return Command{Argv: []string{
		m.agentProgram(), "agent", "probe", "send", "--to", strings.Join(to, ","),
		"--text", answerOf(nonce, m.name), "--times", strconv.Itoa(probeBurst),
		"--pause", probePause.String(),
	}}
}

// answerOf is the text of a probe to the controller.
func answerOf(nonce string, n nemesis.Node) string { return nonce + " " + string(n) }

// probeScript is what bash does for probeCommand.
func (w wall) probeScript(nonce string) string {
	var b strings.Builder
	// Without a process for each: on a busy machine these are what takes the time.
	b.WriteString("for i in" + strings.Repeat(" .", probeBurst) + "; do\n")
	for _, p := range w.peers {
		fmt.Fprintf(&b, "  { echo probe >/dev/udp/%s/%d; } 2>/dev/null || :\n",
			p.addrs[0], w.probePort)
	}
	for _, a := range w.controls {
		fmt.Fprintf(&b, "  { echo %s >/dev/udp/%s/%d; } 2>/dev/null || :\n",
			answerOf(nonce, w.node), a, w.answerPort)
	}
	fmt.Fprintf(&b, "  sleep %g\ndone\n", probePause.Seconds())
	return b.String()
}

// Probe implements nemesis.Network.
func (c *Cluster) Probe(ctx context.Context) (map[nemesis.Link]bool, error) {
	if err := take(ctx, c.probing); err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}
	defer func() { <-c.probing }()
	if err := c.list(ctx); err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}
	before := map[nemesis.Link]int64{}
	for _, link := range c.links() {
		before[link] = c.counted(link, doesProbe)
	}
	nonce := c.answers.listen()
	defer c.answers.forget(nonce)
	delivered := map[nemesis.Link]bool{}
	for round := 1; round <= probeRounds; round++ {
		if err := c.sendProbes(ctx, nonce, delivered); err != nil {
			return nil, fmt.Errorf("probe: %w", err)
		}
		pause(ctx, time.Duration(round)*probeWait)
		if err := c.list(ctx); err != nil {
			return nil, fmt.Errorf("probe: %w", err)
		}
		for _, link := range c.links() {
			if link.To == nemesis.Clients {
				delivered[link] = delivered[link] || c.answers.heard(nonce, link.From)
			} else {
				delivered[link] = delivered[link] || c.counted(link, doesProbe) > before[link]
			}
		}
		if c.probed(delivered, round) {
			break
		}
	}
	return delivered, nil
}

// probed reports whether no more rounds are needed: all that is not cut has delivered.
func (c *Cluster) probed(delivered map[nemesis.Link]bool, round int) bool {
	all, wanted := true, c.wanted()
	for link, ok := range delivered {
		if !ok && (!wanted[link].Cut || round < cutRounds) {
			all = false
		}
	}
	return all
}

// sendProbes sends probes over every link at once and notes which clients' connections
// stand.
func (c *Cluster) sendProbes(
	ctx context.Context, nonce string, delivered map[nemesis.Link]bool,
) error {
	var mu sync.Mutex
	return c.each(c.nodes(), func(m *member) error {
		var wg sync.WaitGroup
		wg.Go(crash.Guard(func() {
			if c.connects(ctx, m) {
				mu.Lock()
				defer mu.Unlock()
				delivered[nemesis.Link{From: nemesis.Clients, To: m.name}] = true
				delivered[nemesis.Link{From: m.name, To: nemesis.Clients}] = true
			}
		}))
		for range probeBurst {
			c.answers.send(join(m.host.Addrs[0], c.cfg.ProbePort))
		}
		_, err := Must(ctx, c.cfg.Shell, m.name, m.probeCommand(nonce))
		wg.Wait()
		return err
	})
}

// connects reports whether a client can connect to the node. A refusal, too, takes both
// directions.
func (c *Cluster) connects(ctx context.Context, m *member) bool {
	d := net.Dialer{Timeout: dialLimit}
	conn, err := d.DialContext(ctx, "tcp", c.Endpoint(m.name))
	if err == nil {
		_ = conn.Close() // nothing was written
		return true
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// answers hears the probes that nodes send to the controller.
type answers struct {
	conn *net.UDPConn
	port uint16
	done chan struct{}

	mu   sync.Mutex
	from map[string]map[nemesis.Node]bool // by nonce
}

func listenForAnswers() (*answers, error) {
	conn, err := net.ListenUDP("udp", nil)
	if err != nil {
		return nil, fmt.Errorf("listen for probes: %w", err)
	}
	a := &answers{
		conn: conn, port: uint16(conn.LocalAddr().(*net.UDPAddr).Port),
		done: make(chan struct{}), from: map[string]map[nemesis.Node]bool{},
	}
	crash.Go(a.run)
	return a, nil
}

func (a *answers) run() {
	defer close(a.done)
	buf := make([]byte, 256)
	for {
		n, _, err := a.conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		nonce, node, ok := strings.Cut(strings.TrimSpace(string(buf[:n])), " ")
		a.mu.Lock()
		if heard := a.from[nonce]; ok && err == nil && heard != nil {
			heard[nemesis.Node(node)] = true
		}
		a.mu.Unlock()
	}
}

// secret is a word that nobody else has.
func secret() string {
	var b [8]byte
	_, _ = crand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// listen begins to listen for probes with a new secret.
func (a *answers) listen() string {
	nonce := secret()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.from[nonce] = map[nemesis.Node]bool{}
	return nonce
}

func (a *answers) heard(nonce string, n nemesis.Node) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.from[nonce][n]
}

func (a *answers) forget(nonce string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.from, nonce)
}

// send sends one probe to a node, which may get lost.
func (a *answers) send(to string) {
	addr, err := net.ResolveUDPAddr("udp", to)
	if err == nil {
		_, _ = a.conn.WriteToUDP([]byte("probe\n"), addr)
	}
}

func (a *answers) close() error {
	err := a.conn.Close()
	<-a.done
	return err
}
