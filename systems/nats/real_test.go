package nats

import (
	"errors"
	"os/exec"
	"regexp"
	"slices"
	"syscall"
	"testing"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/systems/native/nativetest"
)

// TestRealCluster: every operation at real servers; then the stream's leader dies, another one
// takes over, and what was there is there. As long as a node is missing the cluster has not
// recovered.
func TestRealCluster(t *testing.T) {
	nativetest.Installed(t, "", "nats-server")
	out, err := exec.Command("nats-server", "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`[0-9]+\.[0-9]+\.[0-9]+`).FindString(string(out))
	if err := recent(version); err != nil {
		t.Skip(err)
	}
	c := nativetest.Start(t, System(), map[string]string{"reads": "leader"}, 3, "register",
		history.Event{F: "read", Key: "k"})
	client := c.Client.(*Client)
	for _, e := range c.Endpoints {
		nativetest.Await(t, e+" is in step", func() error { return client.Probe(t.Context(), e) })
	}
	sets := func(k nativetest.Case) bool { return k.Object == "set" && k.F == "read" }
	nativetest.Run(t, c, slices.DeleteFunc(nativetest.Registers(), sets)) // which may be old
	reads := func(want string) {
		t.Helper()
		for _, e := range c.Endpoints {
			s := nativetest.Open(t, client, "set", e)
			nativetest.Await(t, "the set is everywhere", func() error {
				if got := nativetest.Say(t, s, "read", "k", "null"); got != want {
					return errors.New(got)
				}
				return nil
			})
		}
	}
	reads("ok [7,8]")
	leader := func() (int, error) {
		for i, e := range c.Endpoints {
			if s, err := client.Status(t.Context(), e); err == nil && s.Leads {
				return i, nil
			}
		}
		return 0, errors.New("nobody leads")
	}
	first, err := leader()
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(-c.Nodes[first].Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	gone := c.Endpoints[first]
	c.Endpoints = slices.Delete(c.Endpoints, first, first+1)
	nativetest.Await(t, "another one leads", func() error { _, err := leader(); return err })
	s := nativetest.Open(t, client, "set", c.Endpoints[0])
	nativetest.Await(t, "it takes elements", func() error {
		if got := nativetest.Say(t, s, "add", "k", "9"); got != "ok 9" {
			return errors.New(got)
		}
		return nil
	})
	reads("ok [7,8,9]")
	if err := client.Probe(t.Context(), c.Endpoints[0]); err == nil {
		t.Error("a node is missing, and all is well")
	}
	s = nativetest.Open(t, client, "set", gone)
	if got := nativetest.Say(t, s, "add", "k", "10"); got != "fail" {
		t.Errorf("add at a node that is not there: %s", got)
	}
}
