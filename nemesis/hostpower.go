package nemesis

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
)

// InjuryPower puts the node's data on a volume of its own (Path, Filesystem) while its
// process is down, or, with Off, stops the process and lets the volume's power fail; done
// again without Off, with the process down, the power comes back. The volume stays.
const InjuryPower InjuryKind = "power"

// PowerHandle is that of a node's volume: all faults of it share it.
const PowerHandle Handle = "power"

// powerFault lets the power of nodes' volumes fail.
type powerFault struct{ *hostFault }

// powerKinds need no knowledge of the system.
func powerKinds() []Kind {
	return []Kind{{
		Name: "power-loss", Doc: "The node's data is moved to a volume of its own (SIGKILL, start), " +
			"unless it is on one since an earlier such fault. At the end the node is stopped, the kernel " +
			"shuts the volume down without writing its journal, SIGKILL, and it is mounted anew: " +
			"what was not synced is gone. Of all nodes that are hit at the same time.",
		Target: TargetOne, UsesProcesses: true, Host: PowerVolumes, build: buildPowerLoss,
		Params: volumeParams(),
		Proof:  "a file that was synced is there afterwards, one that was not is gone; and " + proofPID,
	}}
}

// volumeParams are those of a volume of its own.
func volumeParams() []Param {
	return []Param{
		{
			Name: "path", Unit: UnitPath, Default: ".",
			Doc: "the directory of the data, absolute or below the data directory",
		},
		{
			Name: "filesystem", Unit: UnitFilesystem, Default: "ext4", Doc: "ext4 or xfs",
		},
	}
}

// volumeOf is the injury that puts data on a volume.
func volumeOf(j job) Injury {
	return Injury{Kind: InjuryPower, Path: j.set["path"], Filesystem: j.set["filesystem"]}
}

func powerFamilies() []family {
	params := func(*rand.Rand) Params { return Params{} }
	f := func(t Target) flavor { return flavor{kind: "power-loss", target: t, params: params} }
	return []family{{
		name: "power", doc: "power fails: what nodes have not synced is gone",
		flavors: []flavor{
			f(TargetAll), f(TargetOne), f(TargetMajority), f(TargetMinority), f(TargetPrimaries),
		},
	}}
}

func buildPowerLoss(j job) (prepared, error) {
	f := powerFault{newHostFault(j, volumeOf(j))}
	f.handle = PowerHandle
	return prepared{
		fault: f, nodes: j.hit, undo: f.undo("start"),
		what: "the power of " + nodeNames(j.hit) + " fails",
	}, nil
}

// Inject puts the data on volumes.
func (f powerFault) Inject(ctx context.Context) (Evidence, error) {
	if err := f.take(); err != nil {
		return Evidence{Why: "no host was free"}, err
	}
	f.world.claimAll(f.id, f.taken, false)
	if err := f.toVolumes(ctx, f.injury); err != nil {
		return Evidence{}, err
	}
	return Evidence{Why: "the data is on volumes whose power can fail" + f.leftOut()}, nil
}

// toVolumes moves the data of nodes to volumes, where it is not on some. They are restarted
// for it.
func (f *hostFault) toVolumes(ctx context.Context, volume Injury) error {
	return together(ctx, f.taken, func(n Node) error {
		got, err := f.hosts.Injured(ctx, n, PowerHandle)
		if err == nil && got.Facts["moved"] == 1 {
			return nil
		}
		if err := f.kill(ctx, n); err != nil {
			return err
		}
		if _, err := f.hosts.Injure(ctx, n, PowerHandle, volume); err != nil {
			return fmt.Errorf("volume for %s: %w", n, err)
		}
		return f.start(ctx, n)
	})
}

// Observe lets the power fail, on all nodes at once, and come back.
func (f powerFault) Observe(ctx context.Context) (Evidence, error) {
	off := f.injury
	off.Off = true
	err := together(ctx, f.taken, func(n Node) error { return f.injure(ctx, n, off) })
	if err != nil {
		return Evidence{Why: err.Error()}, err
	}
	if err := f.comeBack(ctx); err != nil {
		return Evidence{Why: err.Error()}, err
	}
	return f.evidence(), nil
}

// comeBack kills the nodes whose power has failed, and mounts their volumes.
func (f powerFault) comeBack(ctx context.Context) error {
	return together(ctx, f.taken, func(n Node) error {
		got, err := f.hosts.Injured(ctx, n, f.handle)
		if err != nil {
			return err
		}
		if got.Facts["failed"] == 0 {
			return nil
		}
		if err := f.kill(ctx, n); err != nil {
			return err
		}
		return f.injure(ctx, n, f.injury)
	})
}

// evidence: what was synced is there, what was not is gone.
func (f powerFault) evidence() Evidence {
	e := Evidence{Bit: true}
	var words []string
	for _, n := range f.taken {
		kept, lost := f.fact(n, "kept") == 1, f.fact(n, "lost") == 1
		e.Bit = e.Bit && kept && lost
		e.add("failures "+string(n), f.fact(n, "failures"))
		e.add("bytes before "+string(n), f.fact(n, "before"))
		e.add("bytes after "+string(n), f.fact(n, "after"))
		is := map[bool]string{true: "is there", false: "is not there"}
		words = append(words, fmt.Sprintf("%s: what was synced %s, what was not %s", n, is[kept],
			is[!lost]))
	}
	e.Why = strings.Join(words, "; ") + f.leftOut()
	return e
}

// Heal starts the nodes, on volumes that have power. They stay on them.
func (f powerFault) Heal(ctx context.Context) (Evidence, error) {
	for _, n := range f.taken {
		got, err := f.hosts.Injured(ctx, n, f.handle)
		if err == nil && got.Facts["failed"] == 1 {
			if err := f.comeBack(ctx); err != nil {
				return Evidence{Why: err.Error()}, err
			}
			break
		}
	}
	return f.startTaken(ctx)
}
