package run

import (
	"fmt"
	"testing"

	"github.com/ordeal-dev/ordeal/nemesis"
	"github.com/ordeal-dev/ordeal/systems"
)

// The clocks of a program of libc can be bent where it is started under libfaketime: where
// nodes have hosts, and its declaration says so.
func TestClocksOfLibc(t *testing.T) {
	const text = `name: kv
%sstart: exec kv {{ .Bind }} {{ .Data }}
claim: {text: registers, workloads: {register: linearizable}}
client: {http: {objects: {register: {
  read: {url: "http://{{ .Endpoint }}/{{ .Key }}", ok: {status: 200, value: $.value}},
  write: {method: PUT, url: "http://{{ .Endpoint }}/{{ .Key }}/{{ .Value }}", ok: {status: 200}}}}}}
`
	for _, c := range []struct {
		cluster, key     string
		clocks, duration bool
	}{
		{"netns", "faketime: true\n", true, false}, {"ssh", "faketime: true\n", true, false},
		{"netns", "", false, true}, {"local", "faketime: true\n", false, true},
	} {
		cfg := Config{
			System: "kv.yaml", Declaration: fmt.Sprintf(text, c.key), Cluster: c.cluster, Nodes: 3,
		}
		if _, err := systems.New(cfg.systemOptions("")); err != nil {
			t.Fatal(err)
		}
		lacks := cfg.lacks()
		_, clocks := lacks[nemesis.PowerClocks]
		_, durations := lacks[nemesis.PowerDurations]
		if clocks == c.clocks || durations == c.duration {
			t.Errorf("%s, %q: lacks %v", c.cluster, c.key, lacks)
		}
	}
}
