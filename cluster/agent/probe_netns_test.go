//go:build linux && (amd64 || arm64)

package agent

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

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

// The matrix of two nodes: whole, cut in one direction, and whole again. What was heard
// tells which direction it is. A queue agent on the way does not count probes.
func TestProbesBetweenNodes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	queue := w.start("a")
	queue.set(oneLink(1, addr4["b"], nemesis.Rule{Duplicate: 1}))
	dirs := map[string]string{}
	for _, n := range []string{"a", "b"} {
		dirs[n] = filepath.Join(t.TempDir(), n)
		var s Status
		w.ask(n, &s, "start", "--dir", dirs[n], "--instance", "p", "--name", n, "--listen", ":7071")
		t.Cleanup(func() { w.ask(n, &s, "stop", "--dir", dirs[n]) })
	}
	look := func(nonce string) string {
		var b strings.Builder
		for _, n := range []string{"a", "b"} {
			var r ProbeResult
			w.ask(n, &r, "--from", n, "--nonce", nonce, "--timeout", "1s",
				"--to", fmt.Sprintf("%s=%s:7071", across(n), addr4[across(n)]))
			fmt.Fprintf(&b, "%s asks: %v. ", n, r.Reach[0].UDP || r.Reach[0].TCP)
		}
		for _, n := range []string{"a", "b"} {
			var h Heard
			w.ask(n, &h, "heard", "--dir", dirs[n], "--nonce", nonce)
			fmt.Fprintf(&b, "%s hears: %v. ", n, h.From)
		}
		return strings.TrimSpace(b.String())
	}
	const whole = "a asks: true. b asks: true. a hears: [b]. b hears: [a]."
	if got := look("before"); got != whole {
		t.Error(got)
	}
	cut := []string{"INPUT", "-s", addr4["a"], "-j", "DROP"}
	w.in("b", append([]string{"iptables", "-w", "-A"}, cut...)...)
	if got := look("cut"); got != "a asks: false. b asks: false. a hears: [b]. b hears: []." {
		t.Error(got)
	}
	w.in("b", append([]string{"iptables", "-w", "-D"}, cut...)...)
	if got := look("after"); got != whole {
		t.Error(got)
	}
	s := queue.call("", "status").Queue
	if c := s.Counters()[nemesis.Link{From: "a", To: "b"}]; c != (nemesis.Counters{}) ||
		s.Stats.Probes < 3 {
		t.Errorf("the queue counted %+v, %+v", c, s.Stats)
	}
}

func across(node string) string { return map[string]string{"a": "b", "b": "a"}[node] }
