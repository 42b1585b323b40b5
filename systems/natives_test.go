package systems

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/systems/declare"
	"github.com/ordeal-dev/ordeal/systems/native"
	"github.com/ordeal-dev/ordeal/systems/operation"
)

// shelf is a native system of one register, which answers what it was made to.
type shelf struct {
	local  bool
	answer history.Value
	err    error
	orders []string // given so far
}

func (s *shelf) system() native.System {
	return native.System{
		Name: "shelf", Doc: "One register.",
		Settings: []native.Setting{
			{Name: "reads", Default: "quorum", Values: []string{"quorum", "local"}, Doc: "Where from."},
			{Name: "bin", Default: "shelf", Program: true, Doc: "The server."},
		},
		Declare: func(v native.Values) (string, error) {
			return native.Fill(`
name: shelf
nodes: {count: 4}
start: exec [[ .bin ]] --name {{ .Name }}
claim:
  text: what it says
  workloads: {[[ if eq .reads "local" ]]counter[[ else ]]register[[ end ]]: linearizable}
`, v)
		},
		Client: func(v native.Values) (native.Client, error) {
			s.local = v["reads"] == "local"
			return s, nil
		},
	}
}

func (s *shelf) Has(object string, f history.F) bool {
	return object == "register" && (f == "read" || f == "write")
}

func (s *shelf) Open(context.Context, []string, string) (native.Session, error) { return s, nil }

func (s *shelf) Invoke(_ context.Context, op history.Event) (history.Event, error) {
	if s.err == nil {
		op.Value = s.answer
	}
	return op, s.err
}

func (s *shelf) Close() error { return nil }

func (s *shelf) Status(_ context.Context, endpoint string) (native.Status, error) {
	return native.Status{Leads: endpoint == "n2:1", Members: []string{"n1", "n2"}}, nil
}

func (s *shelf) Orders() []string { return []string{"transfer"} }

func (s *shelf) Order(_ context.Context, endpoint, order, to string) error {
	s.orders = append(s.orders, fmt.Sprint(endpoint, " ", order, " ", to))
	return nil
}

func openShelf(t *testing.T, s *shelf, settings map[string]string) System {
	t.Helper()
	sys, err := newOf([]native.System{s.system()}, Options{System: "shelf", Settings: settings})
	if err != nil {
		t.Fatal(err)
	}
	return sys
}

// TestNative: a system that is known by name is a declared one with a client in Go, which
// also knows who leads and takes orders.
func TestNative(t *testing.T) {
	s := &shelf{}
	sys := openShelf(t, s, map[string]string{"bin": "/opt/shelf"})
	if got := strings.Join(sys.Workloads(), " "); got != "register" || sys.Deployment().Nodes != 4 {
		t.Errorf("workloads %s, %d nodes", got, sys.Deployment().Nodes)
	}
	argv, err := sys.Command(spec(t))
	if err != nil || !strings.Contains(strings.Join(argv, " "), "exec /opt/shelf --name n1") {
		t.Errorf("%q, %v", argv, err)
	}
	status, err := sys.Status(t.Context(), "n2:1")
	if err != nil || !status.Primary || len(status.Members) != 2 || !sys.HasPrimaries() {
		t.Errorf("%+v, %v", status, err)
	}
	operator := sys.(Operator)
	if err := operator.Transfer(t.Context(), "n2:1", "n1"); err != nil {
		t.Error(err)
	}
	if err := operator.Remove(t.Context(), "n2:1", "n1"); !history.IsDefinite(err) {
		t.Errorf("an order that it does not take: %v", err)
	}
	if got := strings.Join(s.orders, ","); got != "n2:1 transfer n1" {
		t.Errorf("orders %s", got)
	}
}

// TestNativeAnswers: what cannot be the answer breaks the client; what could not change
// anything has failed, whatever became of it.
func TestNativeAnswers(t *testing.T) {
	read, write := history.Event{F: "read", Key: "x"}, history.Event{F: "write", Key: "x",
		Value: history.Int(5)}
	lost := errors.New("connection lost")
	for _, c := range []struct {
		name             string
		op               history.Event
		answer           history.Value
		err              error
		broken, definite bool
	}{
		{"a number", read, history.Int(3), nil, false, false},
		{"a text for a number", read, history.Str("3"), nil, true, false},
		{"the answer to another write", write, history.Int(6), nil, true, false},
		{"a read that was lost", read, history.Nil(), lost, false, true},
		{"a write that was lost", write, history.Nil(), lost, false, false},
		{"a write that was refused", write, history.Nil(), history.Definite(lost), false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, err := openShelf(t, &shelf{answer: c.answer, err: c.err}, nil).Open(t.Context(),
				[]string{"n1:1"}, "register")
			if err != nil {
				t.Fatal(err)
			}
			_, err = client.Invoke(t.Context(), c.op)
			if operation.IsBroken(err) != c.broken || history.IsDefinite(err) != c.definite {
				t.Errorf("%v", err)
			}
			if c.err == nil && !c.broken && err != nil {
				t.Error(err)
			}
		})
	}
}

// TestNativeRefuses: settings that it does not have, and a claim that its client cannot test.
func TestNativeRefuses(t *testing.T) {
	for _, c := range []struct {
		opts Options
		want string
	}{
		{Options{System: "shelf", Settings: map[string]string{"reads": "fast", "size": "1"}},
			`system shelf: settings: reads=fast: there is quorum, local; shelf has no setting "size"`},
		{Options{System: "shelf", Settings: map[string]string{"reads": "local"}},
			"claim: workload counter: the client of shelf has no read of a counter"},
		{Options{System: "reference", Protocol: "paxos", Settings: map[string]string{"reads": "local"}},
			"system reference: settings: it has none"},
		{Options{System: "my.yaml", Declaration: "name: my", Settings: map[string]string{"a": "b"}},
			`my.yaml: settings: there is no "a": it has none`},
	} {
		_, err := newOf([]native.System{(&shelf{}).system()}, c.opts)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
}

// TestNatives: every system that is known by name has a right declaration for each choice of
// each setting, and says something about everything that it lists.
func TestNatives(t *testing.T) {
	for _, n := range Natives() {
		t.Run(n.Name, func(t *testing.T) {
			choices := []map[string]string{nil}
			for _, s := range n.Settings {
				if s.Doc == "" {
					t.Errorf("setting %s has no doc", s.Name)
				}
				for _, v := range s.Values {
					choices = append(choices, map[string]string{s.Name: v})
				}
			}
			for _, chosen := range choices {
				sys, err := New(Options{System: n.Name, Settings: chosen})
				if err != nil {
					t.Errorf("%v: %v", chosen, err)
					continue
				}
				if d := sys.Deployment(); !d.Startable || sys.Name() != n.Name || n.Doc == "" {
					t.Errorf("%v: %s, %+v", chosen, sys.Name(), d)
				}
			}
		})
	}
}

// behind is a shelf that knows better than by a read whether it has recovered.
type behind struct{ *shelf }

func (behind) Probe(_ context.Context, endpoint string) error {
	return fmt.Errorf("%s is not in step", endpoint)
}

// TestProber: a client that knows better is asked whether a node is healthy.
func TestProber(t *testing.T) {
	s := &shelf{answer: history.Int(1)}
	d := declared{&declare.Declaration{Native: s, Claim: declare.Claim{
		Workloads: []declare.Promised{{Workload: "register"}},
	}}}
	if err := d.Probe(t.Context(), "n2:1"); err != nil {
		t.Errorf("a read that succeeds: %v", err)
	}
	d.Native = behind{s}
	if err := d.Probe(t.Context(), "n2:1"); err == nil || err.Error() != "n2:1 is not in step" {
		t.Error(err)
	}
}
