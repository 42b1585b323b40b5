package remote

import (
	"net/netip"

	"github.com/ordeal-dev/ordeal/nemesis"
)

// Host is where a node runs.
type Host struct {
	Node nemesis.Node
	// Addrs are the addresses by which the others know the node, the first one being
	// what they are told. More are found out on the node itself.
	Addrs []netip.Addr
	// Direct, if it is valid, is one more address of the node, at which the controller
	// asks it past all faults of the network. Without one it asks at the first address,
	// and hears nothing while clients are cut from the node.
	Direct netip.Addr
	// Bind is the address to listen at, also a template of go-sockaddr such as
	// "{{ GetPrivateIP }}"; empty is all addresses.
	Bind string
}
