package remote

import (
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/nemesis"
)

// What `iptables -n -v -x -L` prints, of both chains, with two addresses of n1.
const listing = `Chain ORDEAL-X-I (1 references)
  pkts  bytes target  prot opt in  out  source  destination
  3  120 DROP  17   --  *  *  10.0.0.1  0.0.0.0/0  udp dpt:7009 /* n1 probe-cut */
  1007  65000 DROP  0  --  *  *  10.0.0.1  0.0.0.0/0  /* n1 cut */
  40  400 DROP  0  --  *  *  10.1.0.1  0.0.0.0/0  /* n1 cut */
  5  500  0  --  *  *  10.0.0.3  0.0.0.0/0  /* n3 pass */
  9  900 ACCEPT  0  --  *  *  10.0.0.9  0.0.0.0/0  /* not ours? */
Chain ORDEAL-X-O (1 references)
  pkts  bytes target  prot opt in  out  source  destination
  11  1100 DROP  6  --  *  *  0.0.0.0/0  10.0.0.254  tcp spt:7000 /* clients cut */
`

func TestListing(t *testing.T) {
	w := wall{chain: "ORDEAL-X", node: "n2"}
	got, err := w.parseListing(listing)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[counterKey]int64{
		{nemesis.Link{From: "n1", To: "n2"}, doesCut}:              1047,
		{nemesis.Link{From: "n1", To: "n2"}, doesProbeCut}:         3,
		{nemesis.Link{From: "n3", To: "n2"}, doesPass}:             5,
		{nemesis.Link{From: "n2", To: nemesis.Clients}, doesCut}:   11,
		{nemesis.Link{From: nemesis.Clients, To: "n2"}, doesCut}:   0,
		{nemesis.Link{From: nemesis.Clients, To: "n2"}, doesProbe}: 0,
	} {
		if got[key] != want {
			t.Errorf("%+v: %d, want %d", key, got[key], want)
		}
	}
	if _, err := w.parseListing(strings.ReplaceAll(listing, "1007", "many")); err == nil {
		t.Error("a line without a number was taken")
	}
}

// Counters only grow, whoever replaces the rules, and whether anybody saw it or not.
func TestTallies(t *testing.T) {
	all := tallies{}
	link := nemesis.Link{From: "n1", To: "n2"}
	key := counterKey{link, doesCut}
	for i, step := range []struct {
		now      int64
		replaced bool
		want     int64
	}{
		{5, false, 5}, {8, false, 8}, {8, true, 8}, {2, false, 10}, {2, false, 10}, {7, true, 15},
		{0, false, 15}, {4, false, 19},
		{1, false, 20}, // replaced, and the answer got lost
	} {
		all.see(map[counterKey]int64{key: step.now}, step.replaced)
		if got := all.get(link, doesCut); got != step.want {
			t.Errorf("step %d: %d, want %d", i, got, step.want)
		}
	}
	all.see(nil, false) // the rule is gone
	if got := all.get(link, doesCut); got != 20 {
		t.Errorf("without its rule: %d, want 20", got)
	}
}

// A node is cut by all addresses that are its own alone.
func TestAddresses(t *testing.T) {
	own := parseAddresses("ip6tables\n" +
		"address 1: lo    inet 127.0.0.1/8 scope host lo\\ valid_lft forever\n" +
		"address 2: eth0    inet 10.0.0.1/24 brd 10.0.0.255 scope global eth0\n" +
		"address 2: eth0    inet6 fe80::1/64 scope link\n" +
		"address 3: docker0    inet 172.17.0.1/16 scope global docker0\n" +
		"address 4: eth1    inet 10.0.0.254/24 scope global eth1\n")
	if len(own) != 4 {
		t.Fatalf("n1 says that it has %v", own)
	}
	addr := netip.MustParseAddr
	hosts := []Host{
		{Node: "n1", Addrs: []netip.Addr{addr("10.0.0.1")}},
		{Node: "n2", Addrs: []netip.Addr{addr("10.0.0.2")}},
	}
	peers := allAddresses(hosts, map[nemesis.Node][]netip.Addr{
		"n1": own, "n2": {addr("10.0.0.2"), addr("172.17.0.1")},
	}, []netip.Addr{addr("10.0.0.254")})
	if want := []netip.Addr{addr("10.0.0.1"), addr("fe80::1")}; !slices.Equal(peers[0].addrs, want) {
		t.Errorf("n1 is cut by %v, want %v", peers[0].addrs, want)
	}
	if want := []netip.Addr{addr("10.0.0.2")}; !slices.Equal(peers[1].addrs, want) {
		t.Errorf("n2 is cut by %v, want %v", peers[1].addrs, want)
	}
}

// A fault that is limited to ports leaves all others open, and probes follow it.
func TestPorts(t *testing.T) {
	w := wall{
		chain: "ORDEAL-X", node: "n2", clientPort: 7000, probePort: 7009, ports: []uint16{7001, 7002},
		peers: []peer{{node: "n1", addrs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}},
	}
	got := w.rules(table{}, map[nemesis.Link]nemesis.Rule{{From: "n1", To: "n2"}: {Cut: true}})
	const head = "-A ORDEAL-X-I -s 10.0.0.1"
	const tail = " -m multiport --ports 7001,7002 -m comment --comment \"n1 cut\" -j DROP\n"
	want := "*filter\n:ORDEAL-X-I - [0:0]\n:ORDEAL-X-O - [0:0]\n" +
		head + " -p udp --dport 7009 -m comment --comment \"n1 probe-cut\" -j DROP\n" +
		head + " -p tcp" + tail + head + " -p udp" + tail + "COMMIT\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// A pattern finds its text and nothing else, and never the grep that looks for it.
func TestPattern(t *testing.T) {
	for _, text := range []string{"/var/lib/x.y/n1/data", "/a[b]*c/data", `/a\b^c$/data`} {
		for line, want := range map[string]bool{
			"--data=" + text: true, text: true, text + "2": false,
			strings.Replace(text, "a", "z", 1): false, "grep " + pattern(text) + "$": false,
		} {
			cmd := exec.Command("grep", "-q", "-e", pattern(text)+"$")
			cmd.Stdin = strings.NewReader(line + "\n")
			if got := cmd.Run() == nil; got != want {
				t.Errorf("pattern %q in %q: %v, want %v", pattern(text), line, got, want)
			}
		}
	}
}
