package remote

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/ordeal-dev/ordeal/nemesis"
)

// Links are cut and made lossy by chains of our own in the nodes' firewalls: one that is
// jumped to first from INPUT, one first from OUTPUT, in IPv4 and in IPv6. All rules of
// others stay as they are. A change replaces the content of both chains at once, by
// `iptables-restore --noflush`, which touches nothing that it does not name.
//
// A link between nodes is cut where it arrives, in INPUT: that is how a lost packet
// looks from both ends. In OUTPUT the sender's own call would fail, which no network
// does. A link to clients has only one end that is a node, so it is cut in OUTPUT there.
//
// Every rule carries a comment, "n1 cut": whose link it is and what it does. By that its
// counter is found again, and a person who looks at `iptables -L -v` sees what goes on.

// What the rules of a link do, as their comments say it.
const (
	doesCut   = "cut"
	doesLoss  = "loss"
	doesPass  = "pass"
	doesQueue = "queue" // hands over to the agent
	doesProbe = "probe" // a probe that has come past everything that the link does
	// The same for probes, apart, so that a fault does not prove itself by the probe
	// that looks for it.
	doesProbeCut  = "probe-cut"
	doesProbeLoss = "probe-loss"
)

// The ends of the names of the chains: two in the table filter; and two in mangle, which
// are there only while packets are handed to an agent.
const (
	chainIn       = "-I"
	chainOut      = "-O"
	chainQueueOut = "-Q"
	chainQueueIn  = "-R"
)

// wall makes the rules of one node.
type wall struct {
	chain string
	node  nemesis.Node
	// peers are the other nodes in their order, with all their addresses.
	peers    []peer
	controls []netip.Addr
	// clientPort and probePort are Config's; answerPort is where the controller listens
	// for probes from nodes.
	clientPort, probePort, answerPort uint16
	ports                             []uint16
	// agent: there is one that packets can be handed to.
	agent bool
}

type peer struct {
	node  nemesis.Node
	addrs []netip.Addr
}

// table is one of the two families.
type table struct {
	// tool is what lists and changes its rules; its restore has "-restore" added.
	tool string
	six  bool
}

func (t table) has(a netip.Addr) bool { return a.Unmap().Is4() != t.six }

// neighbors are rules that leave a chain with what ARP is in IPv4 but comes through the
// firewall in IPv6: without it a cut of one direction would soon be one of both.
func (t table) neighbors(chain string) string {
	if !t.six {
		return ""
	}
	var rules string
	for _, kind := range []string{"neighbour-solicitation", "neighbour-advertisement"} {
		rules += fmt.Sprintf("-A %s -p ipv6-icmp -m icmp6 --icmpv6-type %s -j RETURN\n", chain, kind)
	}
	return rules
}

func tables(six bool) []table {
	all := []table{{tool: "iptables"}}
	if six {
		all = append(all, table{tool: "ip6tables", six: true})
	}
	return all
}

// rules is the whole content of all chains in one family, as restore reads it. The
// rules of links that have none of their own only count probes.
func (w wall) rules(t table, links map[nemesis.Link]nemesis.Rule) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*filter\n:%s - [0:0]\n:%s - [0:0]\n", w.chain+chainIn, w.chain+chainOut)
	b.WriteString(t.neighbors(w.chain + chainIn))
	for _, p := range w.peers {
		r := links[nemesis.Link{From: p.node, To: w.node}]
		for _, a := range p.addrs {
			if t.has(a) {
				w.link(&b, "-A "+w.chain+chainIn+" -s "+a.String(), p.node, w.portMatches(),
					w.probeIn(), "DROP", r)
			}
		}
	}
	for _, a := range w.controls {
		if !t.has(a) {
			continue
		}
		// What clients lose is repeated by TCP: a share of loss means nothing there.
		in := nemesis.Rule{Cut: links[nemesis.Link{From: nemesis.Clients, To: w.node}].Cut}
		out := nemesis.Rule{Cut: links[nemesis.Link{From: w.node, To: nemesis.Clients}].Cut}
		w.link(&b, "-A "+w.chain+chainIn+" -s "+a.String(), nemesis.Clients,
			[]string{fmt.Sprintf(" -p tcp --dport %d", w.clientPort)}, w.probeIn(), "DROP", in)
		w.link(&b, "-A "+w.chain+chainOut+" -d "+a.String(), nemesis.Clients,
			[]string{fmt.Sprintf(" -p tcp --sport %d", w.clientPort)},
			fmt.Sprintf(" -p udp --dport %d", w.answerPort), "", out)
	}
	b.WriteString("COMMIT\n" + w.handOver(t, links))
	return b.String()
}

// wish is all that the node's firewall and agent are to do, to tell wishes apart.
func (w wall) wish(six bool, links map[nemesis.Link]nemesis.Rule) string {
	var b strings.Builder
	for _, t := range tables(six) {
		b.WriteString(w.rules(t, links))
	}
	if w.agent {
		fmt.Fprintf(&b, "%+v", w.fineRules(links))
	}
	return b.String()
}

func (w wall) probeIn() string { return fmt.Sprintf(" -p udp --dport %d", w.probePort) }

// portMatches are what limits faults of links between nodes to some ports: those of
// either end, because answers come from them.
func (w wall) portMatches() []string {
	if len(w.ports) == 0 {
		return []string{""}
	}
	var list []string
	for _, p := range w.ports {
		list = append(list, strconv.Itoa(int(p)))
	}
	ports := strings.Join(list, ",")
	return []string{
		" -p tcp -m multiport --ports " + ports, " -p udp -m multiport --ports " + ports,
	}
}

// link writes the rules of one link and one address. probe is what a probe looks like;
// arrived is what becomes of one that has come so far.
func (w wall) link(
	b *strings.Builder, head string, of nemesis.Node, matches []string, probe, arrived string,
	r nemesis.Rule,
) {
	rule := func(match, does, target string) {
		fmt.Fprintf(b, "%s%s -m comment --comment \"%s %s\"", head, match, of, does)
		if target != "" {
			b.WriteString(" -j " + target)
		}
		b.WriteString("\n")
	}
	chance := fmt.Sprintf(" -m statistic --mode random --probability %s",
		strconv.FormatFloat(r.Loss, 'f', -1, 64))
	if r.Cut {
		rule(probe, doesProbeCut, "DROP")
		for _, m := range matches {
			rule(m, doesCut, "DROP")
		}
		return
	}
	if r.Loss > 0 {
		rule(probe+chance, doesProbeLoss, "DROP")
	}
	rule(probe, doesProbe, arrived)
	for _, m := range matches {
		if r.Loss > 0 {
			rule(m+chance, doesLoss, "DROP")
		}
		if r != (nemesis.Rule{}) {
			rule(m, doesPass, "")
		}
	}
}

// listScript prints both chains of every family with their counters.
func (w wall) listScript(six bool) string {
	var b strings.Builder
	for _, t := range tables(six) {
		for _, c := range []string{chainIn, chainOut} {
			fmt.Fprintf(&b, "%s -w 10 -n -v -x -L %s\n", t.tool, w.chain+c)
		}
	}
	return b.String()
}

// setScript prints the counters as they were and puts new rules in their place.
func (w wall) setScript(six bool, links map[nemesis.Link]nemesis.Rule) string {
	var b strings.Builder
	b.WriteString(w.listScript(six))
	for _, t := range tables(six) {
		fmt.Fprintf(&b, "%s-restore -w 10 --noflush <<'END'\n%sEND\n", t.tool, w.rules(t, links))
	}
	return b.String()
}

// hook is a jump to a chain of ours.
type hook struct{ table, from, chain string }

// raiseScript makes the chains, with the rules of a network without faults, and puts the
// jumps to them in the first place.
func (w wall) raiseScript(six bool) string {
	var b strings.Builder
	for _, t := range tables(six) {
		fmt.Fprintf(&b, "%s-restore -w 10 --noflush <<'END'\n%sEND\n", t.tool, w.rules(t, nil))
		hooks := []hook{{"", "INPUT", chainIn}, {"", "OUTPUT", chainOut}}
		if w.agent {
			hooks = append(hooks, hook{" -t mangle", "OUTPUT", chainQueueOut},
				hook{" -t mangle", "INPUT", chainQueueIn})
		}
		for _, h := range hooks {
			fmt.Fprintf(&b, "%[1]s -w 10%[2]s -C %[3]s -j %[4]s 2>/dev/null || "+
				"%[1]s -w 10%[2]s -I %[3]s 1 -j %[4]s\n", t.tool, h.table, h.from, w.chain+h.chain)
		}
	}
	return b.String()
}

// razeScript takes the chains away, and fails if anything of them is left. Which of them
// are there, and in which families, it finds out itself: it lists first, because naming
// a table that nobody uses would make it.
func razeScript(chain string) string {
	return fmt.Sprintf(`c=%s
for t in iptables ip6tables; do
  command -v $t-save >/dev/null || continue
  s=$($t-save)
  for x in filter:INPUT:%s filter:OUTPUT:%s mangle:OUTPUT:%s mangle:INPUT:%s; do
    a=${x%%%%:*}
    h=${x#*:}
    e=${h#*:}
    h=${h%%%%:*}
    echo "$s" | grep -q -e "^:$c$e " || continue
    while $t -w 10 -t $a -D $h -j "$c$e" 2>/dev/null; do :; done
    $t -w 10 -t $a -F "$c$e"
    $t -w 10 -t $a -X "$c$e"
  done
  s=$($t-save)
  if echo "$s" | grep -q -e "$c-"; then
    echo "$t still has rules of $c" >&2
    exit 1
  fi
done
`, Quote(chain), chainIn, chainOut, chainQueueOut, chainQueueIn)
}

// tally is what one rule has counted, summed over all its lives: a rule that is
// replaced begins at 0 again.
type tally struct {
	closed int64 // of the lives that are over
	live   int64 // as it was seen last
}

// counterKey names a counter of one node: which link, and what.
type counterKey struct {
	link nemesis.Link
	does string
}

// tallies are all counters of one node.
type tallies map[counterKey]*tally

// see takes in a listing. Replaced says that the rules were replaced right after it.
func (t tallies) see(listing map[counterKey]int64, replaced bool) {
	for key := range listing {
		if t[key] == nil {
			t[key] = &tally{}
		}
	}
	for key, c := range t {
		now := listing[key]
		if now < c.live {
			c.closed += c.live // it was replaced, and nobody saw its end
		}
		c.live = now
		if replaced {
			c.closed, c.live = c.closed+c.live, 0
		}
	}
}

func (t tallies) get(link nemesis.Link, does string) int64 {
	if c := t[counterKey{link, does}]; c != nil {
		return c.closed + c.live
	}
	return 0
}

// parseListing reads what listScript prints on a node. The packets of a link's rules
// for several addresses and families are added up.
func (w wall) parseListing(out string) (map[counterKey]int64, error) {
	sums := map[counterKey]int64{}
	chain := ""
	for line := range strings.Lines(out) {
		words := strings.Fields(line)
		if len(words) > 1 && words[0] == "Chain" {
			chain = strings.TrimPrefix(words[1], w.chain)
			continue
		}
		_, comment, found := strings.Cut(line, "/* ")
		comment, _, closed := strings.Cut(comment, " */")
		of, does, two := strings.Cut(comment, " ")
		if !found || !closed || !two || len(words) == 0 {
			continue
		}
		packets, err := strconv.ParseInt(words[0], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("counters: %q: %w", strings.TrimSpace(line), err)
		}
		key := counterKey{does: does}
		switch chain {
		case chainIn:
			key.link = nemesis.Link{From: nemesis.Node(of), To: w.node}
		case chainOut:
			key.link = nemesis.Link{From: w.node, To: nemesis.Node(of)}
		default:
			return nil, fmt.Errorf("counters: %q in chain %q", strings.TrimSpace(line), chain)
		}
		sums[key] += packets
	}
	return sums, nil
}

// parseAddresses reads the addresses that a node says it has: all but those that belong
// to every host.
func parseAddresses(out string) []netip.Addr {
	var addrs []netip.Addr
	for line := range strings.Lines(out) {
		words := strings.Fields(line)
		// address 2: eth0 inet 10.0.0.1/24 …
		if len(words) < 5 || words[0] != "address" || words[3] != "inet" && words[3] != "inet6" {
			continue
		}
		prefix, err := netip.ParsePrefix(words[4])
		if err != nil || prefix.Addr().IsLoopback() {
			continue
		}
		addrs = append(addrs, prefix.Addr())
	}
	return addrs
}

// allAddresses merges the addresses that hosts were given with those that they have. An
// address of several hosts (that of a container bridge, for one) tells nobody apart and
// is left out, as is the controller's.
func allAddresses(hosts []Host, own map[nemesis.Node][]netip.Addr, controls []netip.Addr) []peer {
	owners := map[netip.Addr]int{}
	for _, h := range hosts {
		for _, a := range sortedAddrs(append(slices.Clone(h.Addrs), own[h.Node]...)) {
			owners[a]++
		}
	}
	peers := make([]peer, len(hosts))
	for i, h := range hosts {
		addrs := slices.Clone(h.Addrs)
		for _, a := range sortedAddrs(own[h.Node]) {
			if owners[a] == 1 && !slices.Contains(addrs, a) && !slices.Contains(controls, a) {
				addrs = append(addrs, a)
			}
		}
		peers[i] = peer{node: h.Node, addrs: addrs}
	}
	return peers
}

// sortedAddrs returns the addresses in their order, each once.
func sortedAddrs(addrs []netip.Addr) []netip.Addr {
	return slices.Compact(slices.SortedFunc(slices.Values(addrs), func(a, b netip.Addr) int {
		return cmp.Or(cmp.Compare(a.BitLen(), b.BitLen()), a.Compare(b))
	}))
}
