package agent

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/nemesis"
)

func exampleRules() Rules {
	return Rules{Version: ProtocolVersion, Generation: 3, Links: []LinkRule{
		{From: "n1", To: "n2", Match: []Match{
			{Direction: Out, Peer: netip.MustParsePrefix("10.0.0.2/32"), Protocol: "udp", PeerPort: 7000},
			{Direction: Out, Peer: netip.MustParsePrefix("fd00::2/128")},
		}, Rule: nemesis.Rule{Delay: 20 * time.Millisecond, Duplicate: 0.1}},
		{From: nemesis.Clients, To: "n1", Match: []Match{{Direction: In}},
			Rule: nemesis.Rule{Delay: time.Millisecond}},
	}}
}

func TestRulesRoundTrip(t *testing.T) {
	want := exampleRules()
	text, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeRules(text)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s\nbecame %+v", text, got)
	}
}

func TestRulesThatAreRefused(t *testing.T) {
	for _, tc := range []struct {
		name, text, part string
	}{
		{"another version", `{"version":9,"generation":1,"links":[]}`, "version 9"},
		{"no generation", `{"version":1,"links":[]}`, "generation 0"},
		{"unknown field", `{"version":1,"generation":1,"loss":1}`, "loss"},
		{"two values", `{"version":1,"generation":1} {}`, "more behind"},
		{"torn", `{"version":1,"generation":1`, "unexpected EOF"},
		{"no match", `{"version":1,"generation":1,"links":[{"from":"a","to":"b"}]}`, "no match"},
		{"one end", `{"version":1,"generation":1,"links":[{"from":"a","to":"a",
			"match":[{"direction":"in"}]}]}`, "two ends"},
		{"direction", `{"version":1,"generation":1,"links":[{"from":"a","to":"b",
			"match":[{"direction":"up"}]}]}`, `"up"`},
		{"port alone", `{"version":1,"generation":1,"links":[{"from":"a","to":"b",
			"match":[{"direction":"out","peer_port":7}]}]}`, "without a protocol"},
		{"copies on the way in", `{"version":1,"generation":1,"links":[{"from":"a","to":"b",
			"match":[{"direction":"in"}],"rule":{"duplicate":0.5}}]}`, "need direction out"},
		{"rule", `{"version":1,"generation":1,"links":[{"from":"a","to":"b",
			"match":[{"direction":"out"}],"rule":{"loss":2}}]}`, "loss 2"},
		{"twice", `{"version":1,"generation":1,"links":[
			{"from":"a","to":"b","match":[{"direction":"out"}]},
			{"from":"a","to":"b","match":[{"direction":"out"}]}]}`, "twice"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := DecodeRules([]byte(tc.text))
			if err == nil || !strings.Contains(err.Error(), tc.part) {
				t.Errorf("%v does not say %q", err, tc.part)
			}
		})
	}
}
