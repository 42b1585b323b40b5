//go:build linux && (amd64 || arm64)

package agent

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/nemesis"
)

// ask runs a subcommand of the probe on a node and reads its result.
func (w *world) ask(node string, into any, args ...string) {
	w.t.Helper()
	self, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	out := w.in(node, append([]string{self, "agent", "probe"}, args...)...)
	if err := json.Unmarshal([]byte(out), into); err != nil {
		w.t.Fatalf("%q: %v", out, err)
	}
}

// The ways between two nodes: whole, cut in one direction, and whole again. Datagrams tell
// the directions apart, connections do not.
func TestProbesBetweenNodes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, n := range []string{"a", "b"} {
		w.in(n, "iptables", "-w", "-A", "INPUT", "-p", "udp", "--dport", "7071", "-j", "DROP")
	}
	counted := func(n string) string {
		return w.in(n, "sh", "-c", "iptables -w -nvxL INPUT | awk '/dpt:7071/ {print $1}'")
	}
	look := func() string {
		var b strings.Builder
		for _, n := range []string{"a", "b"} {
			other := across(n)
			before := counted(other)
			var s Sent
			w.ask(n, &s, "send", "--to", addr4[other]+":7071", "--times", "3", "--pause", "1ms")
			if s != (Sent{Sent: 3}) {
				t.Errorf("%s: %+v", n, s)
			}
			var r []Reach
			w.ask(n, &r, "reach", "--to", other+"="+addr4[other]+":7000", "--timeout", "1s")
			arrived := false
			for end := time.Now().Add(time.Second); !arrived && time.Now().Before(end); {
				arrived = counted(other) != before
			}
			fmt.Fprintf(&b, "%s to %s: %v, connects: %v. ", n, other, arrived, r[0].Answers)
		}
		return strings.TrimSpace(b.String())
	}
	const whole = "a to b: true, connects: true. b to a: true, connects: true."
	if got := look(); got != whole {
		t.Error(got)
	}
	cut := []string{"INPUT", "1", "-s", addr4["a"], "-j", "DROP"}
	w.in("b", append([]string{"iptables", "-w", "-I"}, cut...)...)
	if got := look(); got != "a to b: false, connects: false. b to a: true, connects: false." {
		t.Error(got)
	}
	w.in("b", "iptables", "-w", "-D", "INPUT", "1")
	if got := look(); got != whole {
		t.Error(got)
	}
}

// A queue agent on the way treats probes as everything else, and does not count them.
func TestProbesPassUncounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	queue := w.start("a")
	queue.set(oneLink(1, addr4["b"], nemesis.Rule{Duplicate: 1}))
	conn := w.udp("b", addr4["b"], 7071)
	var s Sent
	w.ask("a", &s, "send", "--to", addr4["b"]+":7071", "--times", "3", "--pause", "1ms")
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		if _, _, err := conn.ReadFrom(make([]byte, 16)); err != nil {
			t.Fatalf("after %d of 2 x 3: %v", i, err)
		}
	}
	q := queue.call("", "status").Queue
	if c := q.Counters()[nemesis.Link{From: "a", To: "b"}]; c != (nemesis.Counters{}) ||
		q.Stats.Probes != 3 {
		t.Errorf("the queue counted %+v, %+v", c, q.Stats)
	}
}

func across(node string) string { return map[string]string{"a": "b", "b": "a"}[node] }
