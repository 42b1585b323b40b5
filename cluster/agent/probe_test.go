package agent

import (
	"context"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"
)

// patience is for what is known to come.
const patience = 10 * time.Second

// Each address gets its datagrams, also after one to which nothing can be sent.
func TestSend(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	s := Datagrams{
		To: []string{"127.0.0.1:99999", conn.LocalAddr().String()}, Text: "x n1", Times: 3,
		Pause: ms,
	}.Send(t.Context())
	if s.Sent != 3 || !strings.Contains(s.Error, "99999") {
		t.Errorf("sent %+v", s)
	}
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		buf := make([]byte, 16)
		n, _, err := conn.ReadFrom(buf)
		if err != nil || string(buf[:n]) != "x n1\n" {
			t.Fatalf("%q, %v", buf[:n], err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	begin := time.Now()
	Datagrams{To: []string{"127.0.0.1:9"}, Times: 2, Pause: time.Hour}.Send(ctx)
	if took := time.Since(begin); took > patience {
		t.Errorf("after its end it went on for %v", took)
	}
}

func TestDatagramsAreChecked(t *testing.T) {
	err := Datagrams{To: []string{"10.0.0.2", "10.0.0.2:"}, Pause: -1}.Validate()
	if err == nil || strings.Count(err.Error(), "is not like") != 2 ||
		!strings.Contains(err.Error(), "0 times") {
		t.Errorf("%v", err)
	}
	if err = (Datagrams{Times: 1}).Validate(); err == nil {
		t.Error("datagrams to nobody are fine")
	}
}

func TestReach(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	somebody, nobody := listener.Addr().String(), closed.Addr().String()
	_ = closed.Close()
	all := FindReach(t.Context(), []Target{{"n2", somebody}, {"n3", nobody}}, patience)
	for i, want := range []Reach{
		{To: "n2", Address: somebody, Answers: true},
		{To: "n3", Address: nobody, Answers: true, Error: refused},
	} {
		all[i].Time = 0
		if all[i] != want {
			t.Errorf("%+v, want %+v", all[i], want)
		}
	}
}

func TestParseTargets(t *testing.T) {
	got, err := ParseTargets("n2=10.0.0.2:7000,n3=[fd00::2]:1")
	want := []Target{{"n2", "10.0.0.2:7000"}, {"n3", "[fd00::2]:1"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	_, err = ParseTargets("10.0.0.2:7000,n3=host,n4=10.0.0.2:")
	if err == nil || strings.Count(err.Error(), "is not like") != 3 {
		t.Errorf("%v", err)
	}
}
