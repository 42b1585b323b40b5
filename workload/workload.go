package workload

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/history"
)

// The Fs of the workloads.
const (
	Read  history.F = "read"
	Write history.F = "write"
	CAS   history.F = "cas"
	Add   history.F = "add"
	// Txn is a transaction, its value the steps.
	Txn history.F = "txn"
	// Enqueue and Dequeue are of queues, Append of logs.
	Enqueue history.F = "enqueue"
	Dequeue history.F = "dequeue"
	Append  history.F = "append"
	// Propose and Ask are of decisions, Acquire, Renew and Release of locks.
	Propose history.F = "propose"
	Ask     history.F = "ask"
	Acquire history.F = "acquire"
	Renew   history.F = "renew"
	Release history.F = "release"
	// Generate asks for an id, Echo for what it holds.
	Generate history.F = "generate"
	Echo     history.F = "echo"
)

// Workload is what clients do, and how it is judged.
type Workload struct {
	Name string
	// Doc is one or two sentences: what it does and which mistakes it can see.
	Doc string
	// Object is the kind of object that a system has to offer, by its name in
	// the clients' protocol, and Fs the operations on it.
	Object string
	Fs     []history.F
	// Generator returns the main part: paced, limited in time and validated.
	Generator func(Options) Generator
	// Final returns what follows when the system has been healed: a little of
	// the main part on fresh keys, and a read of every key. It has to be told of
	// the events of the main part, see RunConfig.Final.
	Final func(Options) Generator
	// Checker returns the judge of the history: the promise itself, statistics,
	// availability, the floors, and whether every key was read at the end.
	Checker func(Options) check.Checker
	// Early returns what looks for violations while the test runs, those that no later
	// operation can undo. It returns nil if there are none for certain.
	Early func(Options) check.Monitor
	// Floors are the least numbers of successful operations that make a run
	// worth a verdict.
	Floors func(Options) []check.Floor
}

// All returns the workloads, in the order in which help shows them.
func All() []Workload {
	return []Workload{
		registerWorkload(), casWorkload(), setWorkload(), counterWorkload(),
		multiRegisterWorkload(), twinWorkload(), bankWorkload(),
		listAppendWorkload(), rwRegisterWorkload(),
		longForkWorkload(), g2Workload(), queueWorkload(), decideWorkload(), lockWorkload(),
		fencedWorkload(), uniqueIDsWorkload(), sessionWorkload(), logWorkload(),
		cachedWorkload(), livenessWorkload(), eventualCounterWorkload(), echoWorkload(),
	}
}

// Lookup returns the workload with this name. The error lists the names there are.
func Lookup(name string) (Workload, error) {
	var names []string
	for _, w := range All() {
		if w.Name == name {
			return w, nil
		}
		names = append(names, w.Name)
	}
	return Workload{}, fmt.Errorf("workload %q: there are %s", name, strings.Join(names, ", "))
}

// spec is what the workloads differ in.
type spec struct {
	name, doc, object string
	// fs are all operations. read is the one that changes nothing, empty if there
	// is none, and mutates are those that change the object.
	fs      []history.F
	read    history.F
	mutates []history.F
	// optional are operations that come too, where the system promises them.
	optional []history.F
	// registers make a workload of transactions: these are the keys of a group,
	// behind the group's own key and a dot. Its key generators say Read for a
	// transaction that reads all of them.
	registers       []history.Key
	prefix          string
	keys, opsPerKey int
	// unbounded workloads have checkers that mind neither operations of unknown
	// outcome nor old keys.
	unbounded bool
	newKey    func() Generator
	// keyOf takes the place of newKey where it matters what is promised.
	keyOf func(Options) Generator
	// main replaces the keys with a generator of the workload's own, if it is not
	// nil; it uses keys with the prefix.
	main func(o Options, prefix string) Generator
	// readAll replaces the final reads, if it is not nil.
	readAll func(Options) Generator
	judge   func(Options) []check.Checker
	// lasting is how many of the judge's checkers, from the first, find only what no later
	// operation can undo, each key by itself. What was read before anybody was asked to
	// write it counts as that: levels below real time would allow that somebody writes it
	// later, but nobody could have known.
	lasting int
	// monitor looks for violations instead of these checkers, if it is not nil. It may
	// return nil, if under this promise nothing is certain before the end.
	monitor func(Options) check.Monitor
	// floors are the least numbers in each phase of a run of a minute or more, by
	// the names of the key generators: Read and Txn for transactions.
	floors map[history.F]int
}

func (s spec) workload() Workload {
	w := Workload{
		Name: s.name, Doc: s.doc, Object: s.object, Fs: s.fs,
		Generator: s.generator, Final: s.final, Floors: s.atLeast,
	}
	w.Early = func(o Options) check.Monitor {
		switch {
		case s.monitor != nil:
			return s.monitor(o)
		case s.lasting == 0:
			return nil
		}
		return check.Recheck(check.Compose(s.name, s.judge(o)[:s.lasting]...))
	}
	w.Checker = func(o Options) check.Checker {
		parts := append(s.judge(o), check.Stats(s.optional...),
			check.Availability(check.AvailabilityOptions{
				Claimed: o.Available, Grace: o.availabilityGrace(), Foreign: o.Foreign,
			}),
			check.Recovery(check.RecoveryOptions{
				Kinds: s.atLeast(o), Claimed: o.Available || o.Promise.Recovers,
				Grace: recoveryGrace, Foreign: o.Foreign,
			}),
			check.Floors(s.atLeast(o)...))
		if s.main == nil && s.readAll == nil {
			// Others have final reads of their own, and judges that know them.
			parts = append(parts, finalCoverage(s.prefix, o.withDefaults(s.keys, s.opsPerKey)))
		}
		return check.Compose(s.name, parts...)
	}
	return w
}

// independent returns the generator of keys with a prefix.
func (s spec) independent(o Options, prefix string) Generator {
	if s.main != nil {
		return s.main(o, prefix)
	}
	cfg := KeysConfig{
		Prefix: prefix, Live: o.Keys, PerKey: o.ThreadsPerKey, Ops: o.OpsPerKey,
		Unknown: o.MaxUnknownPerKey, Burst: 16, Slow: o.Keys * 2 / 5, ReRead: 0.05,
		Epochs: !s.unbounded, Survive: 0.3,
		Read: s.read, Mutates: s.mutates, New: s.newKey,
	}
	if s.keyOf != nil {
		cfg.New = func() Generator { return s.keyOf(o) }
	}
	if s.unbounded {
		cfg.Unknown = 0
	}
	// A slow key lives through all of its bursts and the rests between them.
	cfg.Rest = time.Duration(float64(o.LongLife) * float64(cfg.Burst) / float64(cfg.Ops))
	return Independent(cfg)
}

func (s spec) generator(o Options) Generator {
	o = o.withDefaults(s.keys, s.opsPerKey)
	g := s.pace(o, s.translated(s.independent(o, s.prefix)))
	return Validate(s.name, Seeded(o.Seed, TimeLimit(o.TimeLimit, g)), s.all()...)
}

// all are the operations that may come.
func (s spec) all() []history.F { return slices.Concat(s.fs, s.optional) }

// translated makes transactions of what key generators of groups say.
func (s spec) translated(g Generator) Generator {
	if s.registers == nil {
		return g
	}
	return transactions(s.registers, g)
}

func (s spec) pace(o Options, g Generator) Generator {
	if o.Rate <= 0 {
		return g
	}
	return Rushing(time.Duration(float64(time.Second)/o.Rate), o.Rushes, g)
}

// The final phase begins with so many operations on fresh keys, or with what there is in this
// time: it shows that the healed system still works. While it does not, or not all of it, it
// is tried for longer, until that is a proof.
const (
	recoveryOps   = 400
	recoveryTime  = 5 * time.Second
	recoveryGrace = 20 * time.Second
	recoveryLimit = recoveryGrace + recoveryTime
)

func (s spec) final(o Options) Generator {
	o = o.withDefaults(s.keys, s.opsPerKey)
	o.Rushes = nil // no fault is left
	after := s.independent(o, s.prefix+finalMark)
	after = persistent(s.atLeast(o), recoveryOps, recoveryTime, s.pace(o, after))
	after = TimeLimit(recoveryLimit, after)
	var reads Generator
	if s.readAll != nil {
		reads = s.readAll(o)
	} else {
		reads = FinalReads(s.prefix, s.read, o.Nodes, o.FinalKeys)
	}
	late := o.Promise.Eventual || o.Promise.Stale || o.Promise.Unordered
	if late && s.readAll == nil {
		// What was added after the healing has to have spread before anybody misses it.
		reads = Followed(reads, FinalReads(s.prefix+finalMark, s.read, o.Nodes, o.FinalKeys))
	}
	if late && s.read != "" {
		reads = Settled(o.Settle, reads)
	}
	g := TimeLimit(o.FinalLimit, s.translated(Followed(after, reads)))
	return Validate(s.name+", final", Seeded(o.Seed+1, g), s.all()...)
}

// atLeast scales the floors down for runs shorter than a minute.
func (s spec) atLeast(o Options) []check.Floor {
	share := min(1, o.TimeLimit.Minutes())
	var floors []check.Floor
	for _, f := range slices.Sorted(maps.Keys(s.floors)) {
		n := max(1, int(float64(s.floors[f])*share))
		floor := check.Floor{F: f, Total: 3 * n, Before: n, During: n, After: n}
		if s.registers != nil {
			floor.F, floor.Name, floor.Is = Txn, "changing txn", changing
			if f == Read {
				floor.Name, floor.Is = "reading txn", reading
			}
		}
		floors = append(floors, floor)
	}
	return floors
}

func reading(op *history.Operation) bool  { return history.ReadOnly(op.In) }
func changing(op *history.Operation) bool { return !history.ReadOnly(op.In) }
