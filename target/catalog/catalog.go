// Package catalog knows the protocols of the reference cluster by their names, for those
// who run nodes: cmd/target, one node in a process, and target/world, many in one.
package catalog

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ordeal-dev/ordeal/target/appendlog"
	"github.com/ordeal-dev/ordeal/target/cache"
	"github.com/ordeal-dev/ordeal/target/commit"
	"github.com/ordeal-dev/ordeal/target/decide"
	"github.com/ordeal-dev/ordeal/target/dmvcc"
	"github.com/ordeal-dev/ordeal/target/lock"
	"github.com/ordeal-dev/ordeal/target/mvcc"
	"github.com/ordeal-dev/ordeal/target/paxos"
	"github.com/ordeal-dev/ordeal/target/primary"
	"github.com/ordeal-dev/ordeal/target/protocol"
	"github.com/ordeal-dev/ordeal/target/quorum"
)

// Factory makes one node's machine.
type Factory = func(protocol.Config) (protocol.Machine, error)

// protocols are what a node can run.
func protocols() map[string]Factory {
	return map[string]Factory{
		"paxos":  factory(paxos.New),
		"quorum": factory(quorum.New),

		"mvcc-si":               mvcc.New(mvcc.SI, false),
		"mvcc-si-log":           mvcc.New(mvcc.SI, true),
		"mvcc-serializable":     mvcc.New(mvcc.Serializable, false),
		"mvcc-serializable-log": mvcc.New(mvcc.Serializable, true),
		"mvcc-merge":            mvcc.New(mvcc.Merge, false),
		"mvcc-merge-log":        mvcc.New(mvcc.Merge, true),

		"dmvcc-all":    factory(dmvcc.New(dmvcc.All)),
		"dmvcc-quorum": factory(dmvcc.New(dmvcc.Quorum)),

		"lease-read":         factory(paxos.NewLeaseRead),
		"lock":               factory(lock.New),
		"primary":            factory(primary.New),
		"primary-all":        factory(primary.NewAll),
		"primary-async":      factory(primary.NewAsync),
		"primary-copy-reads": factory(primary.NewCopyReads),

		"decide":    factory(decide.New),
		"appendlog": factory(appendlog.New),

		"2pc":       factory(commit.New),
		"3pc":       factory(commit.NewThreePhase),
		"3pc-plain": factory(commit.NewPlainThreePhase),

		"cache": factory(cache.New),
	}
}

// Names lists the protocols, sorted.
func Names() []string { return slices.Sorted(maps.Keys(protocols())) }

// Salvages reports whether a protocol's nodes can go on from a damaged log.
func Salvages(protocol string) bool {
	return slices.Contains([]string{"paxos", "quorum"}, protocol)
}

// Rejoins reports whether a protocol's nodes can go on from a disk that was wiped.
func Rejoins(protocol string) bool { return protocol == "quorum" }

// factory turns the constructor of a machine into one of any machine.
func factory[M protocol.Machine](
	make func(protocol.Config) (M, error),
) Factory {
	return func(cfg protocol.Config) (protocol.Machine, error) {
		m, err := make(cfg)
		if err != nil {
			return nil, err // not a nil M inside a Machine that is not nil
		}
		return m, nil
	}
}

// Lookup returns the protocol with this name; the error lists all.
func Lookup(name string) (Factory, error) {
	all := protocols()
	if f, ok := all[name]; ok {
		return f, nil
	}
	known := strings.Join(Names(), ", ")
	if name == "" {
		return nil, fmt.Errorf("protocol: none given; there are %s", known)
	}
	return nil, fmt.Errorf("protocol %q: unknown; there are %s", name, known)
}
