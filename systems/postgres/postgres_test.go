package postgres

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/systems/declare"
	"github.com/ordeal-dev/ordeal/systems/native/nativetest"
)

// TestClaims: what is claimed follows from the settings, and every declaration is a right one.
func TestClaims(t *testing.T) {
	for _, c := range []struct {
		set    string
		first  string
		has    []string
		lacks  []string
		faults string
	}{
		{"", "list-append serializable", []string{"g2 serializable", "register linearizable"},
			nil, "kill"},
		{"isolation=repeatable read", "list-append strong-snapshot-isolation",
			[]string{"long-fork snapshot-isolation", "set-full linearizable"}, []string{"g2"}, "kill"},
		{"isolation=read committed", "list-append read-committed",
			[]string{"register linearizable"}, []string{"bank", "long-fork", "twin", "g2"}, "kill"},
		{"reads=any", "list-append snapshot-isolation",
			[]string{"long-fork snapshot-isolation", "set-full eventual"},
			[]string{"g2", "register"}, "kill"},
		{"isolation=read committed,claim=snapshot-isolation", "list-append snapshot-isolation",
			[]string{"bank snapshot-isolation"}, []string{"g2"}, "kill"},
		{"reads=any,claim=strict-serializable", "list-append strict-serializable",
			[]string{"register linearizable", "multi-register strict-serializable"}, nil, "kill"},
		{"synchronous_commit=off", "list-append serializable", nil, nil, ""},
		{"synchronous_commit=mixed,synchronous_standbys=2", "list-append serializable", nil, nil, ""},
	} {
		t.Run(c.set, func(t *testing.T) {
			d, _ := nativetest.Load(t, System(), settings(c.set))
			got := promises(d)
			if got[0] != c.first {
				t.Errorf("first %q, want %q", got[0], c.first)
			}
			for _, want := range c.has {
				if !slices.Contains(got, want) {
					t.Errorf("no %q in %q", want, got)
				}
			}
			for _, lack := range c.lacks {
				if slices.ContainsFunc(got, func(g string) bool { return strings.HasPrefix(g, lack+" ") }) {
					t.Errorf("%q in %q", lack, got)
				}
			}
			if kill := slices.Contains(d.Claim.Faults, "kill"); kill != (c.faults == "kill") {
				t.Errorf("it claims to survive %q", d.Claim.Faults)
			}
		})
	}
}

// settings reads "a=b,c=d".
func settings(text string) map[string]string {
	all := map[string]string{}
	for part := range strings.SplitSeq(text, ",") {
		if name, value, ok := strings.Cut(part, "="); ok {
			all[name] = value
		}
	}
	return all
}

func promises(d *declare.Declaration) []string {
	var all []string
	for _, p := range d.Claim.Workloads {
		all = append(all, p.Workload+" "+p.Consistency)
	}
	return all
}

// TestNobody: what cannot be sent to a primary has failed.
func TestNobody(t *testing.T) {
	for _, reads := range []string{"primary", "any"} {
		_, client := nativetest.Load(t, System(), settings("reads="+reads))
		s := nativetest.Open(t, client, "register", "127.0.0.1:1", "127.0.0.1:2")
		for f, value := range map[string]string{"write": "1", "read": "null"} {
			if got := nativetest.Say(t, s, f, "k", value); got != "fail" {
				t.Errorf("reads=%s: %s: %s", reads, f, got)
			}
		}
	}
}

// TestReadOnly: only a standby says that it is one.
func TestReadOnly(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, false}, {errors.New("EOF"), false}, {&pgconn.PgError{Code: "40001"}, false},
		{&pgconn.PgError{Code: "25006"}, true},
	} {
		if got := readOnly(fmt.Errorf("step 0: %w", c.err)); got != c.want {
			t.Errorf("%v: %t", c.err, got)
		}
	}
}

// TestServers runs a primary and a standby, where PostgreSQL is installed. Clients of the
// standby write at the primary; where they read is a setting.
func TestServers(t *testing.T) {
	nativetest.Installed(t, "postgres", "/usr/lib/postgresql/*/bin/initdb", "initdb")
	read := history.Event{F: "read", Key: "probe"}
	c := nativetest.Start(t, System(), settings("reads=any"), 2, "register", read)
	reverse := []string{c.Endpoints[1], c.Endpoints[0]}
	for i, endpoint := range c.Endpoints {
		status, err := c.Client.(*client).Status(t.Context(), endpoint)
		if err != nil || status.Leads != (i == 0) {
			t.Fatalf("%s: %+v, %v", endpoint, status, err)
		}
	}

	first := &nativetest.Cluster{Client: primaryOnly(t), Endpoints: reverse}
	nativetest.Run(t, first, slices.Concat(nativetest.Registers(), nativetest.Transactions(),
		[]nativetest.Case{
			{Object: "counter", F: "read", Value: "null", Want: "ok 4"},
			{Object: "counter", F: "add", Value: "-1", Want: "ok -1"},
		}))

	// A client that knows one node reads there, and only at a standby at less than its level.
	for i, endpoint := range c.Endpoints {
		s := nativetest.Open(t, primaryOnly(t), "txn", endpoint).(*session)
		got := nativetest.Say(t, s, "txn", "k", `[["r","x",null]]`)
		if i == 0 && got != `ok [["r","x",3]]` {
			t.Error(got)
		}
		if s.writer.session != nil != (i == 0) || s.reader.session != nil != (i == 1) {
			t.Errorf("%s: read by the writer: %t", endpoint, s.writer.session != nil)
		}
	}
	alone := nativetest.Open(t, c.Client, "register", c.Endpoints[1])
	if got := nativetest.Say(t, alone, "write", "k", "8"); got != "fail" {
		t.Errorf("written at a standby: %s", got)
	}
	at := nativetest.Open(t, c.Client, "register", reverse...)
	pause := func(signal syscall.Signal) {
		if err := signalTree(c.Nodes[1].Process.Pid, signal); err != nil {
			t.Fatal(err)
		}
	}
	if got := nativetest.Say(t, at, "write", "k", "9"); got != "ok 9" {
		t.Fatal(got)
	}
	nativetest.Await(t, "it comes to the standby", func() error {
		if got := nativetest.Say(t, at, "read", "k", "null"); got != "ok 9" {
			return fmt.Errorf("the standby answers %s", got)
		}
		return nil
	})
	// The standby stands still: its clients write on, at the primary.
	pause(syscall.SIGSTOP)
	defer pause(syscall.SIGCONT)
	if got := nativetest.Say(t, at, "write", "k", "10"); got != "ok 10" {
		t.Error(got)
	}
	s := nativetest.Open(t, primaryOnly(t), "register", c.Endpoints...)
	if got := nativetest.Say(t, s, "read", "k", "null"); got != "ok 10" {
		t.Errorf("at the primary: %s", got)
	}
}

func primaryOnly(t *testing.T) *client {
	_, c := nativetest.Load(t, System(), nil)
	return c.(*client)
}

// signalTree sends a signal to a process and its children, as a cluster does: PostgreSQL puts
// each of them into a session of its own.
func signalTree(pid int, signal syscall.Signal) error {
	errs := []error{syscall.Kill(pid, signal)}
	tasks, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for _, word := range strings.Fields(string(tasks)) {
		var child int
		if _, err := fmt.Sscan(word, &child); err == nil {
			errs = append(errs, syscall.Kill(child, signal))
		}
	}
	return errors.Join(append(errs, err)...)
}
