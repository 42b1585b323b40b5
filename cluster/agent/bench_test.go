package agent

import (
	"net/netip"
	"testing"
	"time"

	"github.com/ordeal-dev/ordeal/nemesis"
)

// blackHole is a sink that does nothing.
type blackHole struct{}

func (blackHole) Accept(uint32)              {}
func (blackHole) Replace(uint32, []byte)     {}
func (blackHole) Drop(uint32)                {}
func (blackHole) Inject([]byte, uint32) bool { return true }

// BenchmarkEngine is what deciding costs, without the kernel.
func BenchmarkEngine(b *testing.B) {
	for _, c := range []struct {
		name string
		rule nemesis.Rule
	}{
		{"clean", nemesis.Rule{}},
		{"delay", nemesis.Rule{Delay: ms}},
		{"all", nemesis.Rule{Loss: 0.1, Duplicate: 0.1, Reorder: 0.1, Corrupt: 0.1, Delay: ms,
			Jitter: ms, Replay: 0.1, ReplayMax: ms}},
	} {
		b.Run(c.name, func(b *testing.B) {
			e := newEngine(1, blackHole{})
			e.setRules(Rules{Generation: 1, Links: []LinkRule{{From: "a", To: "b", Rule: c.rule,
				Match: []Match{{Direction: Out, Peer: netip.PrefixFrom(peer, 32)}}}}})
			data := datagram(here, peer, make([]byte, 200))
			b.ReportAllocs()
			for i := range b.N {
				e.receive(time.Duration(i)*10*time.Microsecond,
					arrival{id: uint32(i), direction: Out, data: data, whole: true})
			}
		})
	}
}
