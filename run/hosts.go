package run

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/ordeal-dev/ordeal/cluster/remote"
	"github.com/ordeal-dev/ordeal/cluster/ssh"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// NodeHost is where a node runs, and how one gets there.
type NodeHost struct {
	Node nemesis.Node
	// SSH is how to log in. Its address is where clients and peers find the node, too,
	// if Address is empty.
	SSH     ssh.Host
	Address string
	// Direct is one more name or address, for the checker's own questions.
	Direct string
	// Bind is the address at which the node listens, "" for all of its host.
	Bind string
}

// SiteNodesFile is the nodes file of a machine that is there to run tests.
const SiteNodesFile = "/etc/ordeal/nodes"

// ChooseHosts takes the machine's own nodes file, if there is one, when hosts are needed
// and nobody has named any.
func (c *Config) ChooseHosts(site string) {
	if c.Cluster != "ssh" || len(c.Hosts) > 0 || c.NodesFile != "" {
		return
	}
	if info, err := os.Stat(site); err == nil && info.Mode().IsRegular() {
		c.NodesFile = site
	}
}

// nodeHosts returns the hosts of the nodes: those of the file, then those of the flag.
func (c Config) nodeHosts() ([]NodeHost, error) {
	var lines []string
	if c.NodesFile != "" {
		text, err := os.ReadFile(c.NodesFile)
		if err != nil {
			return nil, fmt.Errorf("nodes file: %w", err)
		}
		lines = strings.Split(string(text), "\n")
	}
	var hosts []NodeHost
	var errs []error
	add := func(where string, words []string) {
		h, err := parseHost(words)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", where, err))
			return
		}
		hosts = append(hosts, h)
	}
	for i, line := range lines {
		line, _, _ = strings.Cut(line, "#")
		if words := strings.Fields(line); len(words) > 0 {
			add(fmt.Sprintf("%s:%d", c.NodesFile, i+1), words)
		}
	}
	for _, h := range c.Hosts {
		name, address, ok := strings.Cut(h, "=")
		if !ok {
			errs = append(errs, fmt.Errorf("host %q: want name=address", h))
			continue
		}
		add("host "+h, []string{name, address})
	}
	for i, h := range hosts {
		if slices.ContainsFunc(hosts[:i], func(o NodeHost) bool { return o.Node == h.Node }) {
			errs = append(errs, fmt.Errorf("node %s is named twice", h.Node))
		}
	}
	return hosts, errors.Join(errs...)
}

// parseHost reads "n1 [user@]host[:port] [key=FILE] [jump=[user@]host[:port]]
// [address=HOST] [direct=HOST] [bind=IP]".
func parseHost(words []string) (NodeHost, error) {
	h := NodeHost{Node: nemesis.Node(words[0])}
	if len(words) < 2 || strings.Contains(words[0], "=") {
		return h, fmt.Errorf("%q: want a node's name and its host", strings.Join(words, " "))
	}
	var err error
	if h.SSH.Hop, err = parseHop(words[1]); err != nil {
		return h, err
	}
	for _, w := range words[2:] {
		name, value, _ := strings.Cut(w, "=")
		switch {
		case value == "":
			return h, fmt.Errorf("%q: want name=value", w)
		case name == "key":
			h.SSH.KeyFiles = append(h.SSH.KeyFiles, value)
		case name == "jump":
			hop, err := parseHop(value)
			if err != nil {
				return h, err
			}
			h.SSH.Jump = &hop
		case name == "address":
			h.Address = value
		case name == "direct":
			h.Direct = value
		case name == "bind":
			h.Bind = value
		default:
			return h, fmt.Errorf("%q: there is key, jump, address, direct and bind", w)
		}
	}
	return h, nil
}

// parseHop reads "[user@]host[:port]".
func parseHop(text string) (ssh.Hop, error) {
	var hop ssh.Hop
	if user, rest, ok := strings.Cut(text, "@"); ok {
		hop.User, text = user, rest
	}
	hop.Address = text
	if host, port, err := net.SplitHostPort(text); err == nil {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return hop, fmt.Errorf("host %q: port %q", text, port)
		}
		hop.Address, hop.Port = host, int(n)
	}
	if hop.Address == "" {
		return hop, fmt.Errorf("host %q has no address", text)
	}
	return hop, nil
}

// resolve turns the hosts' names into addresses.
func resolve(ctx context.Context, hosts []NodeHost) ([]remote.Host, error) {
	var out []remote.Host
	var errs []error
	for _, h := range hosts {
		name := h.SSH.Address
		if h.Address != "" {
			name = h.Address
		}
		addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
		if err != nil {
			errs = append(errs, fmt.Errorf("address of %s: %w", h.Node, err))
			continue
		}
		r := remote.Host{Node: h.Node, Bind: h.Bind}
		for _, a := range addrs {
			r.Addrs = append(r.Addrs, a.Unmap())
		}
		// The first one is what the others are told.
		slices.SortStableFunc(r.Addrs, func(a, b netip.Addr) int { return a.BitLen() - b.BitLen() })
		if h.Direct != "" {
			direct, err := net.DefaultResolver.LookupNetIP(ctx, "ip", h.Direct)
			if err != nil {
				errs = append(errs, fmt.Errorf("direct address of %s: %w", h.Node, err))
				continue
			}
			r.Direct = direct[0].Unmap()
		}
		out = append(out, r)
	}
	return out, errors.Join(errs...)
}

// controls are the addresses from which this machine reaches the hosts.
func controls(hosts []remote.Host) ([]netip.Addr, error) {
	var out []netip.Addr
	for _, h := range hosts {
		for _, a := range h.Addrs {
			// Nothing is sent: connecting a datagram socket only asks for the way.
			conn, err := net.Dial("udp", netip.AddrPortFrom(a, 9).String())
			if err != nil {
				continue
			}
			local := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
			if err := conn.Close(); err != nil {
				return nil, err
			}
			if !slices.Contains(out, local) {
				out = append(out, local)
			}
		}
	}
	if len(out) == 0 {
		return nil, errors.New("this machine has no way to any of the hosts")
	}
	return out, nil
}

// runName names the run on its hosts, as no other run does.
func runName(dir string) (string, error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	host, err := os.Hostname()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(host + "\x00" + path))
	return hex.EncodeToString(sum[:4]), nil
}

// lacksAgent says what cannot be done because there can be no agent, which is this very
// program: it runs on Linux only.
func lacksAgent(Config) nemesis.Lacks {
	if runtime.GOOS == "linux" {
		return nil
	}
	const why = "the nodes' firewalls only drop packets, and the agent for everything " +
		"else is this program, built for Linux: run the checker on a Linux machine"
	lacks := lacksHosts(why)
	lacks[nemesis.PowerPackets] = why
	return lacks
}

// byBash begins the sentence about nodes whose probes bash sends, as everywhere if nothing is
// unusual.
const byBash = "by bash: "

// probers says in a sentence each which nodes' probes are sent by bash, and which by the
// agent, and why.
func probers(all []remote.Prober) []string {
	nodes := map[string][]string{}
	var reasons []string
	for _, p := range all {
		if nodes[p.Bashless] == nil && p.Bashless != "" {
			reasons = append(reasons, p.Bashless)
		}
		nodes[p.Bashless] = append(nodes[p.Bashless], string(p.Node))
	}
	var out []string
	if bash := nodes[""]; bash != nil {
		out = append(out, byBash+strings.Join(bash, ", "))
	}
	for _, why := range reasons {
		out = append(out, fmt.Sprintf("by the agent: %s (%s)", strings.Join(nodes[why], ", "), why))
	}
	return out
}

// agent returns what gives the agents' program, nil where there can be none.
func (c Config) agent() func() ([]byte, error) {
	if lacksAgent(c) != nil {
		return nil
	}
	return agentProgram
}

// agentProgram is this very program.
func agentProgram() ([]byte, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("program of the agents: %w", err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		return nil, fmt.Errorf("program of the agents: %w", err)
	}
	return program, nil
}

// remoteConfig is what all clusters on hosts have in common.
func (l launch) remoteConfig() (remote.Config, error) {
	var program []byte
	if l.program != "" {
		var err error
		if program, err = os.ReadFile(l.program); err != nil {
			return remote.Config{}, fmt.Errorf("program of the nodes: %w", err)
		}
	}
	files, err := remoteFiles(l.files)
	if err != nil {
		return remote.Config{}, err
	}
	run, err := runName(l.dir)
	if err != nil {
		return remote.Config{}, err
	}
	c := remote.Config{
		Run: run, Dir: l.dir, Command: l.command, Program: program, Ledger: l.ledger,
		Logger: l.logger, OnExit: l.onExit, OnTrouble: l.onTrouble, Seed: l.cfg.Seed,
		Faketime: l.libc, MemoryGroups: l.memory,
		Files: files, Others: l.others, Logs: l.logs, StartTimeout: l.deployment.ReadyWithin,
		Grace: l.deployment.StopWithin, ClientPort: l.deployment.Port, PeerPort: l.deployment.PeerPort,
	}
	if lacksAgent(l.cfg) == nil {
		if c.Agent, err = agentProgram(); err != nil {
			return c, err
		}
	}
	if port := uint16(l.cfg.BasePort); port != 0 {
		c.ClientPort, c.PeerPort, c.ProbePort = port, port+1, port+2
	}
	return c, nil
}
