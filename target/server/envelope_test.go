package server

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/ordeal-dev/ordeal/target/protocol"
)

func sampleEnvelope() envelope {
	return envelope{
		Cluster: 1, Configuration: 2, Epoch: 3, Seq: 4, From: "n1", To: "n22",
		Payload: []byte("payload"),
	}
}

func TestEnvelopeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[a-zA-Z0-9._-]{1,64}`)
		e := envelope{
			Cluster: rapid.Uint64().Draw(t, "cluster"), Configuration: rapid.Uint64().Draw(t, "conf"),
			Epoch: protocol.Epoch(rapid.Uint64().Draw(t, "epoch")), Seq: rapid.Uint64().Draw(t, "seq"),
			From:    protocol.NodeID(name.Draw(t, "from")),
			To:      protocol.NodeID(name.Draw(t, "to")),
			Payload: rapid.SliceOfN(rapid.Byte(), 0, 2000).Draw(t, "payload"),
		}
		got, reason := decodeEnvelope(e.appendTo(nil))
		if reason != "" {
			t.Fatalf("dropped: %s", reason)
		}
		if !bytes.Equal(got.Payload, e.Payload) {
			t.Fatalf("payload %x, want %x", got.Payload, e.Payload)
		}
		got.Payload, e.Payload = nil, nil
		if got.From != e.From || got.To != e.To || got.Epoch != e.Epoch || got.Seq != e.Seq ||
			got.Cluster != e.Cluster || got.Configuration != e.Configuration {
			t.Fatalf("got %+v, want %+v", got, e)
		}
	})
}

// No flipped bit and no cut gets through, wherever it is.
func TestEnvelopeDamage(t *testing.T) {
	whole := sampleEnvelope().appendTo(nil)
	for bit := range len(whole) * 8 {
		d := bytes.Clone(whole)
		d[bit/8] ^= 1 << (bit % 8)
		if e, reason := decodeEnvelope(d); reason == "" {
			t.Errorf("bit %d flipped: taken as %+v", bit, e)
		}
	}
	for size := range len(whole) {
		if e, reason := decodeEnvelope(whole[:size]); reason == "" {
			t.Errorf("cut to %d bytes: taken as %+v", size, e)
		}
	}
}

func TestAdmit(t *testing.T) {
	members := []protocol.NodeID{"n1", "n2", "n3"}
	id := newIdentity("c", "n2", members)
	good := envelope{Cluster: id.cluster, Configuration: id.configuration, From: "n1", To: "n2"}
	for want, change := range map[drop]func(*envelope){
		"":                func(*envelope) {},
		dropCluster:       func(e *envelope) { e.Cluster++ },
		dropConfiguration: func(e *envelope) { e.Configuration++ },
		dropRecipient:     func(e *envelope) { e.To = "n3" },
		dropSender:        func(e *envelope) { e.From = "n4" },
	} {
		e := good
		change(&e)
		if got := id.admit(e); got != want {
			t.Errorf("%+v: %q, want %q", e, got, want)
		}
	}
	own := good
	own.From = "n2"
	if got := id.admit(own); got != dropSender {
		t.Errorf("own datagram: %q, want %q", got, dropSender)
	}
}

func TestConfigurationID(t *testing.T) {
	a := configurationID([]protocol.NodeID{"n1", "n2"})
	if b := configurationID([]protocol.NodeID{"n2", "n1"}); a != b {
		t.Error("the order of members changes the configuration id")
	}
	if b := configurationID([]protocol.NodeID{"n1n2"}); a == b {
		t.Error("members run together")
	}
}

func FuzzEnvelope(f *testing.F) {
	whole := sampleEnvelope().appendTo(nil)
	f.Add(whole)
	f.Add(whole[:envelopeHeader])
	f.Add([]byte(envelopeMagic))
	f.Fuzz(func(t *testing.T, datagram []byte) {
		e, reason := decodeEnvelope(datagram)
		if reason == "" && !bytes.Equal(e.appendTo(nil), datagram) {
			t.Errorf("%x is taken as %+v, which is not written so", datagram, e)
		}
	})
}
