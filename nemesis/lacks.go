package nemesis

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// Power is something that a cluster can do to its nodes and links.
type Power string

// The powers of clusters. All kinds of faults need one or more of them.
const (
	PowerLinks     Power = "links"     // cut a link between nodes in one direction
	PowerClients   Power = "clients"   // cut clients from nodes, or nodes from clients
	PowerLoss      Power = "loss"      // lose a share of a link's messages
	PowerPackets   Power = "packets"   // delay, double, reorder, corrupt, replay, hold, slow down
	PowerProcesses Power = "processes" // kill, start, pause
	PowerClocks    Power = "clocks"    // bend
	PowerDurations Power = "durations" // bend rates, and the clocks that measure durations
	PowerDisks     Power = "disks"     // trouble
	PowerFiles     Power = "files"     // damage those of any system, fill its volume
	PowerCPU       Power = "cpu"       // limit
	PowerMemory    Power = "memory"    // limit
	PowerWrites    Power = "writes"    // limit those to a disk
	PowerVolumes   Power = "volumes"   // mount some, freeze them, let their power fail
	PowerSkew      Power = "skew"      // bend the clock of any process
)

// Lacks says which powers a cluster does not have, and why, in a sentence that ends
// with what a person can do about it. Nil: it has all.
type Lacks map[Power]string

// powers lists what a fault of this kind with these parameters needs.
func (k Kind) powers(p Params) []Power {
	var need []Power
	add := func(p Power, wanted bool) {
		if wanted && !slices.Contains(need, p) {
			need = append(need, p)
		}
	}
	messages := slices.ContainsFunc(k.Params, func(p Param) bool { return p.Name == "replay" })
	clients := len(k.Shapes) > 0 && k.Shapes[0] == ShapeClients
	add(PowerLinks, k.UsesNetwork && !messages && !clients)
	add(PowerClients, k.UsesNetwork && clients)
	add(PowerProcesses, k.UsesProcesses)
	add(PowerClocks, k.UsesClocks)
	add(PowerDisks, k.UsesDisks)
	add(k.Host, k.Host != "")
	set, err := k.settings(p)
	jumps := k.Name != "clock-drift" && set["clock"] == "wall"
	add(PowerDurations, k.UsesClocks && !jumps)
	if !messages || err != nil {
		return need
	}
	add(PowerLoss, set.share("loss") > 0 || k.Name == "echo")
	for _, share := range []string{"duplicate", "reorder", "corrupt", "replay", "hold"} {
		add(PowerPackets, set.share(share) > 0)
	}
	add(PowerPackets, set.duration("delay") > 0 || set.duration("jitter") > 0 || set.rate("rate") > 0)
	return need
}

// refuse says why a fault is impossible, nil if it is not.
func (l Lacks) refuse(k Kind, p Params) error {
	for _, need := range k.powers(p) {
		if why, lacking := l[need]; lacking {
			return fmt.Errorf("%s: %s", k.Name, why)
		}
	}
	return nil
}

// Needs reports whether the step needs a power; of a fault that does not exist nothing.
func (s Step) Needs(p Power) bool {
	k, err := kindNamed(s.Fault)
	return err == nil && slices.Contains(k.powers(s.Params), p)
}

// PossibleOn returns why the step is impossible on a cluster that lacks something, nil
// if it is not.
func (s Step) PossibleOn(l Lacks) error {
	k, err := kindNamed(s.Fault)
	if err != nil {
		return err
	}
	return l.refuse(k, s.Params)
}

// lackingDraws is how many draws of a flavor's parameters are looked at.
const lackingDraws = 32

// lacking says why a flavor is impossible on a cluster that lacks something. What a
// flavor does to messages is the same for all draws of how much; which clock it bends is
// not, and then each has to be possible.
func (v flavor) lacking(l Lacks) error {
	k, err := kindNamed(v.kind)
	if err != nil || len(l) == 0 {
		return err
	}
	if v.params == nil {
		return l.refuse(k, nil)
	}
	draws := 1
	if k.UsesClocks {
		draws = lackingDraws
	}
	for i := range draws {
		if err := l.refuse(k, v.params(rand.New(rand.NewPCG(1, uint64(i+1))))); err != nil {
			return err
		}
	}
	return nil
}

// LeftOut says, a sentence each, what the chosen families cannot do because of Lacks:
// the reasons, each with the faults that it takes away.
func (c PlanConfig) LeftOut() []string {
	faults := map[string][]string{}
	for _, f := range families() {
		inAll := f.weight > 0 && (c.Claimed == nil || slices.Contains(c.Claimed, f.name))
		if !slices.Contains(c.Faults, f.name) && !(inAll && slices.Contains(c.Faults, "all")) {
			continue
		}
		for _, v := range f.flavors {
			k, err := kindNamed(v.kind)
			reason := errors.Join(err, v.lacking(c.Lacks))
			if reason == nil {
				continue
			}
			why := strings.TrimPrefix(reason.Error(), k.Name+": ")
			if name := v.kind; !slices.Contains(faults[why], name) {
				faults[why] = append(faults[why], name)
			}
		}
	}
	var out []string
	for _, why := range slices.Sorted(maps.Keys(faults)) {
		out = append(out, fmt.Sprintf("%s, in whole or in part: %s",
			strings.Join(faults[why], ", "), why))
	}
	return out
}
