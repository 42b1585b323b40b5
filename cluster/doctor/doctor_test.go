package doctor

import (
	"context"
	"errors"
	"flag"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/cluster/remote"
	"github.com/ordeal-dev/ordeal/cluster/remote/shelltest"
	"github.com/ordeal-dev/ordeal/nemesis"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func hosts() []remote.Host {
	var out []remote.Host
	for i, n := range []nemesis.Node{"n1", "n2", "n3"} {
		out = append(out, remote.Host{
			Node: n, Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)})},
		})
	}
	return out
}

// hospital is a shell to one healthy node, one without netem, iptables and bash, and one
// that is not there.
func hospital() *shelltest.Fake {
	return shelltest.NewFake(func(c shelltest.Call) (remote.Result, error) {
		script := strings.Join(c.Argv, " ")
		switch {
		case c.Node == "n3":
			return remote.Result{}, &remote.TransportError{
				Node: c.Node, Doing: "sh", Err: errors.New("no route"),
			}
		case c.Node == "n2" && strings.HasSuffix(script, "bash_sends >&2"):
			return remote.Result{Status: 1, Stderr: []byte("there is no bash\n")}, nil
		case c.Node == "n2" && strings.Contains(script, `echo "agent $why"`):
			return remote.Result{Stdout: []byte("agent there is no bash\n")}, nil
		case strings.Contains(script, `echo "agent $why"`):
			return remote.Result{Stdout: []byte("bash\n")}, nil
		case c.Node == "n2" && strings.Contains(script, "netem"):
			return remote.Result{Status: 2, Stderr: []byte("kind is\nunknown\n")}, nil
		case c.Node == "n2" && strings.Contains(script, "raise iptables filter"):
			return remote.Result{Status: 1, Stderr: []byte("there is no iptables\n")}, nil
		}
		return remote.Result{Stdout: []byte("seen to work\n")}, nil
	})
}

// both are programs to be brought to the nodes.
func both() Programs { return Programs{Target: []byte("program"), Agent: []byte("agent")} }

func TestTable(t *testing.T) {
	r, err := Examine(t.Context(), hospital(), hosts(), both())
	if err != nil {
		t.Fatal(err)
	}
	if r.OK() {
		t.Error("a node without firewall and one that is not there are well")
	}
	var got strings.Builder
	if err := r.Print(&got); err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/table.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || got.String() != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s, %v", got.String(), want, err)
	}
	healthy, err := Examine(t.Context(), hospital(), hosts()[:1], both())
	if err != nil || !healthy.OK() {
		t.Errorf("a healthy node is not: %v", err)
	}
	for i, row := range r.Rows {
		if row.Name == Probe && (row.Findings[0].Choice != "bash" ||
			row.Findings[1] != Finding{
				Node: "n2", OK: true, Choice: "agent", Detail: "there is no bash",
			}) {
			t.Errorf("row %d: %+v", i, row.Findings)
		}
	}
	// What is not needed does not make a node unfit.
	none, err := Examine(t.Context(), hospital(), hosts()[:1], Programs{})
	if err != nil || !none.OK() {
		t.Errorf("without a program: %v", err)
	}
}

// One mechanism by itself: a host that refuses is told apart from one that is not there.
func TestTry(t *testing.T) {
	for _, tc := range []struct {
		hosts   []remote.Host
		name    string
		refused bool
		want    string
	}{
		{hosts()[:2], "tc netem", true, "node n2: it does not work: kind is unknown"},
		{hosts()[2:], "tc netem", false, "no route"},
		{hosts()[:1], "sorcery", false, "no mechanism"},
	} {
		failed, err := Try(t.Context(), hospital(), tc.hosts, both(), "signals", tc.name, "tools")
		if failed == "" || err == nil || errors.Is(err, ErrRefused) != tc.refused ||
			!strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "node n1") {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	failed, err := Try(t.Context(), hospital(), hosts()[:1], both(), "tc netem")
	if failed != "" || err != nil {
		t.Errorf("what works: %s, %v", failed, err)
	}
}

// Who sends probes is found out once; where bash cannot, and only there, the agent is
// brought, once, and without one nobody can.
func TestSender(t *testing.T) {
	for _, tc := range []struct {
		host    int
		uploads int
		agent   []byte
		failed  string
	}{{0, 0, nil, ""}, {1, 1, []byte("agent"), ""}, {1, 0, nil, Probe}} {
		l := &line{Fake: hospital()}
		failed, err := Try(t.Context(), l, hosts()[tc.host:tc.host+1], Programs{Agent: tc.agent},
			Probe, "reachability", "ip6tables", "NFQUEUE")
		if failed != tc.failed || len(l.limits) != tc.uploads {
			t.Errorf("%s, %v, %d uploads; want %+v", failed, err, len(l.limits), tc)
		}
		if failed != "" && !strings.Contains(err.Error(), "there is no bash, and there is no agent") {
			t.Error(err)
		}
		asked := 0
		for _, c := range l.Calls() {
			if strings.HasSuffix(strings.Join(c.Argv, " "), "bash_sends >&2") {
				asked++
			}
		}
		if asked != 1 {
			t.Errorf("asked %d times", asked)
		}
	}
}

// line is a shell over which uploads take their time.
type line struct {
	*shelltest.Fake
	limits []time.Duration
}

func (l *line) Upload(ctx context.Context, n nemesis.Node, f remote.File) error {
	deadline, _ := ctx.Deadline()
	l.limits = append(l.limits, time.Until(deadline))
	return l.Fake.Upload(ctx, n, f)
}

// A program is brought to a node once, and how long that takes is no part of the trials.
func TestBring(t *testing.T) {
	l := &line{Fake: hospital()}
	failed, err := Try(t.Context(), l, hosts()[:1], both(), MemoryGroups, PowerLoss, FrozenVolumes)
	if err != nil || len(l.limits) != 1 || l.limits[0] < 3*trialTime {
		t.Errorf("%s: %v; the uploads may take %v", failed, err, l.limits)
	}
}

// However a doctor is interrupted, what may be left on a node that was reached is taken
// away.
func TestSweep(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	sh := shelltest.NewFake(func(c shelltest.Call) (remote.Result, error) {
		if strings.Contains(strings.Join(c.Argv, " "), "netem") {
			cancel()
		}
		return remote.Result{}, nil
	})
	if _, err := Examine(ctx, sh, hosts()[:1], Programs{}); err != nil {
		t.Fatal(err)
	}
	calls := sh.Calls()
	if last := calls[len(calls)-1]; !strings.Contains(strings.Join(last.Argv, " "), " sweep ") {
		t.Errorf("the last thing done is %s", last)
	}
	broken := shelltest.NewFake(func(c shelltest.Call) (remote.Result, error) {
		if strings.Contains(strings.Join(c.Argv, " "), " sweep ") {
			return remote.Result{Status: 1}, nil
		}
		return remote.Result{}, nil
	})
	_, err := Examine(t.Context(), broken, hosts()[:1], Programs{})
	if err == nil || !strings.Contains(err.Error(), "may be left") {
		t.Errorf("a sweep that fails: %v", err)
	}
}

// A shell reads every script, and those that need no root tell the truth of this machine.
func TestScripts(t *testing.T) {
	scripts := []string{sweepScript}
	for _, m := range mechanisms() {
		scripts = append(scripts, m.whole())
	}
	for _, s := range scripts {
		if out, err := exec.Command("sh", "-n", "-c", s).CombinedOutput(); err != nil {
			t.Errorf("%v: %s\n%s", err, out, s)
		}
	}
	for _, m := range mechanisms() {
		switch m.Name {
		case "tools", "signals", "disk space":
			out, err := exec.Command("sh", "-c", m.whole(), "doctor", "C", t.TempDir()).
				CombinedOutput()
			if err != nil {
				t.Errorf("%s: %v: %s", m.Name, err, out)
			}
		}
	}
}

// The disk that is looked at is that of the tests' data, which may be one of its own.
func TestDiskOfData(t *testing.T) {
	if out, err := exec.Command("unshare", "--mount", "true").CombinedOutput(); err != nil {
		if os.Getenv("ORDEAL_ROOT") == "required" {
			t.Fatalf("%v: %s", err, out)
		}
		t.Skipf("no mounts of one's own: %s", out)
	}
	const small = `mount -t tmpfs -o size=600m here /var/lib && mkdir /var/lib/ordeal &&
		mount -t tmpfs -o size=16m here /var/lib/ordeal && exec sh -c "$@"`
	i := slices.IndexFunc(mechanisms(), func(m Mechanism) bool { return m.Name == "disk space" })
	out, err := exec.Command("unshare", "--mount", "sh", "-c", small, "sh",
		mechanisms()[i].whole(), "doctor", "C", t.TempDir()).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "only 16 MiB free below /var/lib/ordeal") {
		t.Errorf("%v: %s", err, out)
	}
}
