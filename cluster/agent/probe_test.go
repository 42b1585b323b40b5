package agent

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/nemesis"
)

// patience is for what is known to come.
const patience = 10 * time.Second

// probeDaemonHere runs a probe daemon in this process until the test ends.
func probeDaemonHere(t *testing.T, name nemesis.Node) (dir, address string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "p")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	up := make(chan struct{})
	go func() {
		done <- RunProbe(ctx, DaemonConfig{Dir: dir, Instance: "i", Lease: time.Minute},
			ProbeConfig{Name: name, Listen: "127.0.0.1:0"}, func() error { close(up); return nil })
	}()
	select {
	case <-up:
	case err := <-done:
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	s, err := inspect(t.Context(), dir, kindProbe)
	if err != nil || s.State != Running {
		t.Fatalf("%+v, %v", s, err)
	}
	return dir, s.Probe.Listen
}

func TestProbe(t *testing.T) {
	dir, address := probeDaemonHere(t, "n2")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := listener.Addr().String()
	_ = listener.Close()
	r := Probe(t.Context(), "n1", "x", []Target{
		{"n2", address}, {"n3", address}, {"n4", nobody},
	}, patience)
	for i, want := range []Reach{
		{To: "n2", Address: address, UDP: true, TCP: true},
		{To: "n3", Address: address, TCP: true,
			UDPError: fmt.Sprintf("at %s there is %q", address, "n2")},
		{To: "n4", Address: nobody, UDP: true, TCP: true, UDPError: refused, TCPError: refused},
	} {
		got := r.Reach[i]
		got.UDPTime, got.TCPTime = 0, 0
		if got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	for nonce, want := range map[string][]nemesis.Node{"x": {"n1"}, "y": {}} {
		h, err := AskHeard(t.Context(), dir, nonce)
		if err != nil || !reflect.DeepEqual(h, Heard{Name: "n2", Nonce: nonce, From: want}) {
			t.Errorf("heard %+v, %v", h, err)
		}
	}
}

// A hole in the network takes the time limit and no more.
func TestProbeOfSilence(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	r := Probe(t.Context(), "n1", "x", []Target{{"n2", silent.LocalAddr().String()}}, 50*ms)
	if got := r.Reach[0]; got.UDP || got.UDPError != "no answer" || got.UDPTime < 50*ms {
		t.Errorf("%+v", got)
	}
}

func TestProbeDaemonAnswersProbesOnly(t *testing.T) {
	p := &probeDaemon{name: "n1", heard: map[string]map[nemesis.Node]bool{}}
	for _, text := range []string{"", "hello", `{"word":"ordeal-answer-1"}`, `{"nonce":"x"}`} {
		if reply := p.hear([]byte(text)); reply != nil {
			t.Errorf("%q was answered with %q", text, reply)
		}
	}
	for i := range 2 * nonceMemory {
		for j := range 3 {
			p.hear(fmt.Appendf(nil, `{"word":%q,"nonce":"%d","name":"n%d"}`, probeWord, i, j))
		}
	}
	if len(p.heard) != nonceMemory || p.heard["0"] != nil || len(p.heard["300"]) != 3 {
		t.Errorf("%d nonces are remembered", len(p.heard))
	}
}

func TestParseTargets(t *testing.T) {
	got, err := ParseTargets("n2=10.0.0.2:7071,n3=[fd00::2]:1")
	want := []Target{{"n2", "10.0.0.2:7071"}, {"n3", "[fd00::2]:1"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	_, err = ParseTargets("10.0.0.2:7071,n3=host,n4=10.0.0.2:")
	if err == nil || strings.Count(err.Error(), "is not like") != 3 {
		t.Errorf("%v", err)
	}
}

// The lease ends a daemon of which nobody wants to know any more, a question renews it.
func TestLease(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "p")
	done := make(chan error, 1)
	up := make(chan struct{})
	begin := time.Now()
	asked := begin
	go func() {
		done <- RunProbe(t.Context(), DaemonConfig{Dir: dir, Instance: "i", Lease: time.Second},
			ProbeConfig{Name: "n1", Listen: "127.0.0.1:0"}, func() error { close(up); return nil })
	}()
	<-up
	for time.Since(begin) < 1500*ms {
		asked = time.Now()
		if s, err := inspect(t.Context(), dir, kindProbe); err != nil || s.State != Running {
			t.Fatalf("%+v, %v", s, err)
		}
		<-time.After(100 * ms)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	s, err := inspect(t.Context(), dir, kindProbe)
	if err != nil || s.State != Ended || s.Reason != reasonLease || s.Probe == nil {
		t.Errorf("%+v, %v", s, err)
	}
	if since := time.Since(asked); since < time.Second {
		t.Errorf("ended %v after it was asked, although it has a lease of 1 s", since)
	}
}

func TestDaemonConfigIsChecked(t *testing.T) {
	err := DaemonConfig{Dir: "relative", Lease: time.Millisecond}.Validate()
	for _, part := range []string{"relative", "no name", "lease 1ms"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q is missing in: %v", part, err)
		}
	}
}
