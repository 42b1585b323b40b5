package doctor

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/cluster/agent"
	"github.com/ordeal-dev/ordeal/cluster/netns"
	"github.com/ordeal-dev/ordeal/cluster/remote"
	"github.com/ordeal-dev/ordeal/cluster/remote/shelltest"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// TestMain lets the test's own binary be the agent.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "agent" {
		cmd := agent.Command(os.Stdin, os.Stdout)
		cmd.SetArgs(os.Args[2:])
		if err := cmd.ExecuteContext(context.Background()); err != nil {
			os.Exit(255)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// noLog is where nobody writes down which namespaces there are: the test takes them away.
type noLog struct{}

func (noLog) ResourceMaking(nemesis.Resource) error { return nil }
func (noLog) ResourceGone(nemesis.Resource) error   { return nil }

// What a host without bash lacks nobody misses: the agent sends and knocks.
func TestWithoutBash(t *testing.T) {
	if err := netns.Missing(); err != nil {
		if os.Getenv("ORDEAL_ROOT") == "required" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	lab, err := netns.Up(t.Context(), []nemesis.Node{"n1", "n2", "n3"}, noLog{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lab.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	none, deaf := t.TempDir(), t.TempDir()
	if err := errors.Join(shelltest.Programs(none, ""),
		shelltest.Programs(deaf, shelltest.DeafBash)); err != nil {
		t.Fatal(err)
	}
	shell := shelltest.Poor{
		Shell: lab.Shell(), Path: map[nemesis.Node]string{"n2": none, "n3": deaf},
	}
	trials := []string{
		"tools", Probe, "reachability", "iptables", "ip6tables", "statistic", "NFQUEUE",
	}
	failed, err := Try(t.Context(), shell, lab.Hosts(), Programs{Agent: self(t)}, trials...)
	if err != nil {
		t.Errorf("%s: %v", failed, err)
	}
	// The trial can fail: a host that does not answer the agent is told.
	cut := remote.Command{Argv: []string{
		"iptables", "-A", "INPUT", "-s", lab.Hosts()[1].Addrs[0].String(), "-j", "DROP",
	}}
	if _, err := remote.Must(t.Context(), lab.Shell(), "n1", cut); err != nil {
		t.Fatal(err)
	}
	failed, err = Try(t.Context(), shell, lab.Hosts()[:2], Programs{Agent: self(t)}, trials...)
	if failed != "reachability" || !errors.Is(err, ErrRefused) ||
		!strings.Contains(err.Error(), "node n2: it does not work: no answer from n1=10.") {
		t.Errorf("with n2 cut off: %s, %v", failed, err)
	}
}

func self(t *testing.T) []byte {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return program
}
