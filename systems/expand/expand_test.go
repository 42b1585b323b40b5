package expand

import (
	"fmt"
	"strings"
	"testing"
)

func TestText(t *testing.T) {
	for text, want := range map[string]string{
		"{{ .Name }} {{ .Number }} of {{ len .Nodes }} at {{ .Bind }}": "n1 1 of 3 at 127.0.0.1:8000",
		`{{ each "$name=http://$peer" "," .Peers }}`: "n2=http://127.0.0.1:9001," +
			"n3=http://127.0.0.1:9002",
		`{{ each "${index}:$number:$address:$port:$peer_port:$endpoint" " " .Nodes }}`: "" +
			"0:1:127.0.0.1:8000:9000:127.0.0.1:8000 1:2:127.0.0.1:8001:9001:127.0.0.1:8001 " +
			"2:3:127.0.0.1:8002:9002:127.0.0.1:8002",
		`{{ quote "it's" }}`:  `'it'\''s'`,
		`{{ json .Name }}`:    `"n1"`,
		`{{ base64 "k1" }}`:   "azE=",
		"{{ .Endpoint }}":     "127.0.0.1:8000",
		"{{ .PeerEndpoint }}": "127.0.0.1:9000",
		`{{ GetAllInterfaces | include "address" "127.0.0.1" | attr "address" }}`: "127.0.0.1",
	} {
		if got, err := Text(text, Sample(), true); err != nil || got != want {
			t.Errorf("%s: %q, %v", text, got, err)
		}
	}
}

func TestMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"{{ .Nmae }}":                "can't evaluate field Nmae",
		"{{ .Name ":                  "unclosed action",
		"{{ Frobnicate }}":           `function "Frobnicate" not defined`,
		`{{ each "$x" "," .Nodes }}`: "there is no $x: there is $name",
		"{{ GetPrivateIP }}":         "write {{ .Address }}",
	} {
		_, err := Text(text, Sample(), false)
		switch got := fmt.Sprint(err); {
		case err == nil, !strings.Contains(got, want), strings.Contains(got, "expand."):
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestNewTarget(t *testing.T) {
	if got := NewTarget("[::1]:80", "n2"); got != (Target{"[::1]:80", "::1", 80, "n2"}) {
		t.Errorf("%+v", got)
	}
	if got := NewTarget("socket", ""); got != (Target{Endpoint: "socket", Address: "socket"}) {
		t.Errorf("%+v", got)
	}
}
