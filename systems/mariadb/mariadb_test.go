package mariadb

import (
	"slices"
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/systems/native/nativetest"
)

// TestClaims: what is claimed follows from the settings, and every declaration is a right one.
func TestClaims(t *testing.T) {
	for _, c := range []struct {
		set  map[string]string
		want string
		kill bool
	}{
		{nil, "serializable", true},
		{map[string]string{"isolation": "read uncommitted"}, "read-uncommitted", true},
		{map[string]string{"isolation": "read committed"}, "read-committed", true},
		{map[string]string{"isolation": "repeatable read"}, "snapshot-isolation", true},
		{map[string]string{"isolation": "repeatable read", "snapshot": "OFF"}, "read-committed", true},
		{map[string]string{"isolation": "repeatable read", "claim": "repeatable-read"},
			"repeatable-read", true},
		{map[string]string{"sync": "0"}, "serializable", false},
		{map[string]string{"sync": "2"}, "serializable", true},
	} {
		d, _ := nativetest.Load(t, System(), c.set)
		first := d.Claim.Workloads[0]
		if first.Workload != "list-append" || first.Consistency != c.want {
			t.Errorf("%v: %s is %s, want %s", c.set, first.Workload, first.Consistency, c.want)
		}
		if slices.Contains(d.Claim.Faults, "kill") != c.kill {
			t.Errorf("%v: it claims to survive %q", c.set, d.Claim.Faults)
		}
		if off := c.set["snapshot"] == "OFF"; off == strings.Contains(d.Start, "isolation=ON") {
			t.Errorf("%v: start is\n%s", c.set, d.Start)
		}
	}
}

// TestNobody: what cannot be sent has failed.
func TestNobody(t *testing.T) {
	_, client := nativetest.Load(t, System(), nil)
	s := nativetest.Open(t, client, "register", "127.0.0.1:1")
	if got := nativetest.Say(t, s, "write", "k", "1"); got != "fail" {
		t.Error(got)
	}
}

// TestServer runs a server, where MariaDB is installed.
func TestServer(t *testing.T) {
	nativetest.Installed(t, "mysql", "mariadbd", "/usr/sbin/mariadbd")
	read := history.Event{F: "read", Key: "probe"}
	c := nativetest.Start(t, System(), nil, 1, "register", read)
	nativetest.Run(t, c, slices.Concat(nativetest.Registers(), nativetest.Transactions(),
		[]nativetest.Case{
			{Object: "counter", F: "read", Value: "null", Want: "ok 4"},
			{Object: "counter", F: "add", Value: "-1", Want: "ok -1"},
			{Object: "counter", F: "read", Value: "null", Want: "ok 3"},
		}))
}
