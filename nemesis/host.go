package nemesis

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/internal/vtime"
)

// Hosts is what faults need that are done to a node's host: to its files, its volume, its
// CPU time, its memory. They do not know what system runs there.
type Hosts interface {
	// Injure does an injury, at most one for each handle on a node. Called again with the
	// same injury it finishes what was begun. The process of the node has to be down for
	// injuries of files, and has to run for one of its CPU time or its clock.
	Injure(ctx context.Context, node Node, h Handle, i Injury) (Injured, error)
	// Injured looks at what an injury has done since.
	Injured(ctx context.Context, node Node, h Handle) (Injured, error)
	// Mend takes an injury back; it is idempotent. Left says, if not empty, what was left
	// as it is, because the system has made it its own in the meantime.
	Mend(ctx context.Context, node Node, h Handle) (left string, err error)
}

// InjuryKind says what is done.
type InjuryKind string

// The kinds of injuries.
const (
	// InjuryCPU gives the node's process Percent of one CPU.
	InjuryCPU InjuryKind = "cpu"
	// InjuryMemory limits the memory of the node's processes to Percent of what they use, or
	// to Bytes; with neither there is no limit. There has to be a group for it, which the
	// cluster has made before the nodes were started.
	InjuryMemory InjuryKind = "memory"
	// InjuryFull fills the volume on which Path is, but for Bytes.
	InjuryFull InjuryKind = "full"
	// InjuryFlip flips a bit of the file Path, at Place from 0 to 1.
	InjuryFlip InjuryKind = "flip"
	// InjuryCut takes the last Bytes off the file Path.
	InjuryCut InjuryKind = "cut"
	// InjuryKeep keeps a copy of the file or directory Path, InjuryRestore puts the copy
	// that was kept under the same handle in its place.
	InjuryKeep    InjuryKind = "keep"
	InjuryRestore InjuryKind = "restore"
)

// Injury is something that is done to a node's host and can be taken back.
type Injury struct {
	Kind InjuryKind
	// Path is absolute, or below the node's data directory; "." is that itself. Where a file
	// is wanted a pattern means the newest one that fits ("wal/log-*"), and a directory the
	// largest one in it.
	Path    string
	Percent int
	Place   float64
	Bytes   int64
	// Filesystem and Off are those of InjuryPower.
	Filesystem string
	Off        bool
	// Offset, Gain and Period are those of InjurySkew; InjurySlow has the first and the last.
	Offset time.Duration
	Gain   float64
	Period time.Duration
}

// named is the path for a sentence.
func (i Injury) named() string {
	if i.Path == "." {
		return "the data"
	}
	return i.Path
}

// Injured is what is known of an injury.
type Injured struct {
	// Where says in words what was hit: "byte 17 of /var/lib/db/log".
	Where string
	// Facts are numbers by name. Of a CPU: "periods", "throttled". Of memory: "limit" (0 is
	// none) and "used" now, "before" and "after" the limit was set, in bytes; how often it was
	// "met", how many processes were "killed" for it. Of slow writes: "written" bytes, "since ms" it
	// was set. Of a frozen volume: "freezes", in how many a node was "waiting", "slow" syncs of
	// the agent, "slowest ms", 1 while the agent "runs". Of a volume: "taken",
	// "free" in bytes, "reserve" of them that the filesystem gives to nobody. Of clocks:
	// "bent" and "true" processes, "ahead ms", "since ms" it was set, "jumps". Of a volume
	// of its own, 0 or 1: "moved", "failed", "kept", "lost"; and "failures", "before",
	// "after". Of a restored copy: "changed" files. Of a cut: "cut" bytes.
	Facts map[string]int64
}

// UndoInjury in an Intent's Undo, followed by a node: what a record on it says has to be
// taken back.
const UndoInjury = "mend"

const seamHost seam = "host"

// hostFault is what all faults of hosts share.
type hostFault struct {
	*processFault
	hosts  Hosts
	handle Handle
	injury Injury
	taken  []Node // whose hosts nobody else injures

	what map[Node]Injured
}

func newHostFault(j job, i Injury) *hostFault {
	return &hostFault{
		processFault: newProcessFault(j), hosts: j.env.Hosts, handle: j.handle(), injury: i,
		what: map[Node]Injured{},
	}
}

func (f *hostFault) undo(more ...string) []string {
	var undo []string
	for _, action := range append([]string{UndoInjury}, more...) {
		undo = append(undo, f.processFault.undo(action)...)
	}
	return undo
}

// take seizes the hosts.
func (f *hostFault) take() error {
	f.taken = f.world.seize(f.id, seamHost, f.hit)
	if len(f.taken) == 0 {
		return errNothingToDo{"every host is in the hands of another fault, or its node is"}
	}
	return nil
}

// injure does an injury on one node and keeps what is known of it.
func (f *hostFault) injure(ctx context.Context, n Node, i Injury) error {
	got, err := f.hosts.Injure(ctx, n, f.handle, i)
	if err != nil {
		return fmt.Errorf("%s of %s: %w", i.Kind, n, err)
	}
	f.look(n, func(*sighting) { f.what[n] = got })
	return nil
}

// look again at what the injuries have done; who does not answer stays as it was.
func (f *hostFault) lookAgain(ctx context.Context) {
	_ = together(ctx, f.taken, func(n Node) error {
		got, err := f.hosts.Injured(ctx, n, f.handle)
		if err == nil {
			f.look(n, func(*sighting) { f.what[n] = got })
		}
		return err
	})
}

// fact returns a number of a node's injury.
func (f *hostFault) fact(n Node, name string) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.what[n].Facts[name]
}

// counted is the evidence of a number that has to be there on one node at least.
func (f *hostFault) counted(name, what, otherwise string) Evidence {
	e := Evidence{Why: otherwise}
	var words []string
	for _, n := range f.taken {
		count := f.fact(n, name)
		e.add(name+" "+string(n), count)
		e.Bit = e.Bit || count > 0
		words = append(words, fmt.Sprintf("%s %d", n, count))
	}
	if e.Bit {
		e.Why = what + ": " + strings.Join(words, ", ")
	}
	e.Why += f.leftOut()
	return e
}

// leftOut names the nodes that were to be hit and are in the hands of another fault.
func (f *hostFault) leftOut() string {
	if left := others(f.hit, f.taken); len(left) > 0 {
		return "; left to another fault: " + nodeNames(left)
	}
	return ""
}

// mend takes back all injuries, and says what was left as it is.
func (f *hostFault) mend(ctx context.Context) (string, error) {
	left := map[Node]string{}
	err := together(ctx, f.taken, func(n Node) error {
		why, err := f.hosts.Mend(ctx, n, f.handle)
		if err != nil {
			return fmt.Errorf("mend %s: %w", n, err)
		}
		f.look(n, func(*sighting) { left[n] = why })
		return nil
	})
	var words []string
	for _, n := range f.taken {
		if left[n] != "" {
			words = append(words, fmt.Sprintf("left as it is on %s: %s", n, left[n]))
		}
	}
	return strings.Join(words, "; "), err
}

// cpuFault lets processes have only a part of one CPU.
type cpuFault struct{ *hostFault }

func buildCPU(j job) (prepared, error) {
	percent := j.set.percent("percent")
	f := cpuFault{newHostFault(j, Injury{Kind: InjuryCPU, Percent: percent})}
	return prepared{
		fault: f, nodes: j.hit, undo: f.undo(),
		what: fmt.Sprintf("%s get %d%% of a CPU", nodeNames(j.hit), percent),
	}, nil
}

const throttled = "throttled"

// Inject sets the limits and waits for a while until a process has met its own.
func (f cpuFault) Inject(ctx context.Context) (Evidence, error) {
	if err := f.take(); err != nil {
		return Evidence{Why: "no host was free"}, err
	}
	f.world.slowDown(f.id)
	err := together(ctx, f.taken, func(n Node) error { return f.injure(ctx, n, f.injury) })
	if err != nil {
		return Evidence{}, err
	}
	limited, cancel := vtime.WithTimeout(ctx, diskShows)
	defer cancel()
	for {
		f.lookAgain(ctx)
		waits := func(n Node) bool { return f.fact(n, throttled) == 0 }
		if !slices.ContainsFunc(f.taken, waits) || !vtime.Sleep(limited, clockPoll) {
			return f.evidence(), nil
		}
	}
}

func (f cpuFault) evidence() Evidence {
	return f.counted(throttled, "throttled periods of 100 ms",
		"no process wanted more than its share: nobody was throttled")
}

// Observe counts once more.
func (f cpuFault) Observe(ctx context.Context) (Evidence, error) {
	f.lookAgain(ctx)
	return f.evidence(), nil
}

// Heal takes the limits away.
func (f cpuFault) Heal(ctx context.Context) (Evidence, error) { return f.unlimited(ctx) }

// unlimited takes limits away; the groups are gone then, and no process is in one.
func (f *hostFault) unlimited(ctx context.Context) (Evidence, error) {
	left, err := f.mend(ctx)
	if err != nil {
		return Evidence{Why: err.Error()}, err
	}
	why := "no limit is left: " + nodeNames(f.taken)
	if left != "" {
		why += "; " + left
	}
	return Evidence{Bit: true, Why: why}, nil
}

// volumeFault fills volumes.
type volumeFault struct{ *hostFault }

func buildVolume(j job) (prepared, error) {
	most := TargetMinority.size(len(j.nodes))
	if most == 0 {
		return prepared{}, fmt.Errorf("a minority of %d nodes is no node at all", len(j.nodes))
	}
	j.hit = j.hit[:min(len(j.hit), most)]
	f := volumeFault{newHostFault(j, Injury{
		Kind: InjuryFull, Path: j.set["path"], Bytes: int64(j.set.rate("leave")),
	})}
	return prepared{
		fault: f, nodes: j.hit, undo: f.undo("start"),
		what: "fill the volume of " + nodeNames(j.hit),
	}, nil
}

// blockSlack is what a filesystem may have free when it gives nothing any more: it takes
// whole blocks, also for what it knows of files.
const blockSlack = 64 << 10

// Inject fills the volumes. Nodes may end by it.
func (f volumeFault) Inject(ctx context.Context) (Evidence, error) {
	if err := f.take(); err != nil {
		return Evidence{Why: "no host was free"}, err
	}
	err := together(ctx, f.taken, func(n Node) error {
		s, err := f.world.processes.State(ctx, n)
		f.look(n, func(g *sighting) { g.before = s.PID })
		return err
	})
	if err != nil {
		return Evidence{}, err
	}
	f.world.holdDown(f.id, f.taken)
	f.world.expect(f.id, f.taken, true)
	err = together(ctx, f.taken, func(n Node) error { return f.injure(ctx, n, f.injury) })
	return f.evidence(), err
}

// evidence: what was asked to be left free is all that is free.
func (f volumeFault) evidence() Evidence {
	e := f.counted("taken", "bytes taken until the volume was full", "nothing was free to be taken")
	for _, n := range f.taken {
		free := f.fact(n, "free")
		e.add("free "+string(n), free)
		if free > f.injury.Bytes+f.fact(n, "reserve")+blockSlack {
			e.Bit, e.Why = false, fmt.Sprintf("%d bytes are free on %s all the same", free, n)
		}
		if words, ended := f.world.lastWords(f.id, n); ended {
			e.Why += fmt.Sprintf("; %s ended by it (%s)", n, shortened(words))
		}
	}
	return e
}

// Observe looks how the nodes have taken it.
func (f volumeFault) Observe(ctx context.Context) (Evidence, error) {
	f.lookAgain(ctx)
	return f.evidence(), nil
}

// Heal frees the volumes and starts the nodes that have ended.
func (f volumeFault) Heal(ctx context.Context) (Evidence, error) {
	if _, err := f.mend(ctx); err != nil {
		return Evidence{Why: err.Error()}, err
	}
	return f.startTaken(ctx)
}

// startTaken starts the nodes of the hosts that were taken.
func (f *hostFault) startTaken(ctx context.Context) (Evidence, error) {
	return f.verified(together(ctx, f.taken, func(n Node) error { return f.start(ctx, n) }))
}
