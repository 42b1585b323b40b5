package nemesis

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// PlanConfig says what a random schedule is to be like.
type PlanConfig struct {
	// Seed decides everything: the same configuration gives the same schedule.
	Seed  uint64
	Nodes []Node
	// Faults are names of families ("partition", "kill") or "all"; none, or
	// "none", gives an empty schedule.
	Faults []string
	// Claimed are the families that "all" may stand for, because the system claims to
	// survive them; nil is every one.
	Claimed []string
	// Duration is the length of the main phase.
	Duration time.Duration
	// Interval is the mean time between the starts of two faults; 0: 5 s.
	Interval time.Duration
	// MinFor and MaxFor bound how long an ordinary fault lasts; 0: 2 s and 5 s, or two
	// fifths and the whole of a shorter interval.
	// About one in five lasts from 8 to 12 s instead when there is time.
	MinFor, MaxFor time.Duration
	// Overlap is the share of faults that begin while another is in force;
	// 0: 0.25, negative: none.
	Overlap float64
	// Grace is the time without faults at the start and at the end; 0: 2 s, or a
	// tenth of a duration under 20 s.
	Grace time.Duration
	// NoPrimaries says that the system never has any, so that nothing is aimed
	// at them.
	NoPrimaries bool
	// Orders are those of an operator that the system takes; faults that need others
	// are impossible.
	Orders []AdminF
	// Noise makes the network a little bad all along, beside the other faults.
	Noise bool
	// Lacks says what the cluster cannot do; faults that need it are impossible.
	Lacks Lacks
	// Logger hears what is left out and why. Nil: nobody does.
	Logger *slog.Logger
}

const (
	longMin = 8 * time.Second
	longMax = 12 * time.Second
	// shortPlan is the length below which only the core families are sure to come.
	shortPlan = 45 * time.Second
	// coreFamilies is how many there are.
	coreFamilies = 4
	// leastFor is the shortest fault that a crowded plan may have.
	leastFor = 500 * time.Millisecond
	// cardMin is the time that is kept for each card of the first deck when a
	// long fault comes before it.
	cardMin = 3500 * time.Millisecond
	// crowdSize is the greatest number of faults between two clean gaps.
	crowdSize = 3
	// staggerMost is the greatest wait between two restarts that a plan asks for.
	staggerMost = 4 * time.Second
)

// family is a group of faults that users choose by one name.
type family struct {
	name string
	doc  string
	// weight is how many cards it has in the deck of families; 0: it is not part of
	// "all", and has byName cards, at least 1, when it is chosen.
	weight, byName int
	// core families come first in short tests.
	core    bool
	flavors []flavor
}

// flavor is one way in which a family hurts.
type flavor struct {
	kind   string
	shape  Shape
	target Target
	weight int // cards in the family's deck; 0 counts as 1
	// telling cards are spread evenly over the deck: a short run, that takes only
	// a few, shall have one of them.
	telling bool
	long    bool
	quick   bool // lasts less than a second
	apart   bool // its healing takes long; see staggerMost
	params  func(*rand.Rand) Params
	sequels []sequel // one of them follows; see planner.follow
}

// Family describes a name that users can choose.
type Family struct {
	Name, Doc string
	// InAll is true when "all" includes it.
	InAll bool
}

// Families returns all names that PlanConfig.Faults takes, but for all and none.
func Families() []Family {
	var out []Family
	for _, f := range families() {
		out = append(out, Family{Name: f.name, Doc: f.doc, InAll: f.weight > 0})
	}
	return out
}

// Plan makes a random schedule.
//
// Families are dealt from a shuffled deck rather than drawn one by one, so that
// each occurs in any test that is long enough; first come one card of each, the
// core families (partition, messages, kill, pause) before the others. Each family
// deals its own flavors in the same way; tests with successive seeds within one thousand
// share these decks, each beginning one card further. Faults come in small crowds of up to
// three that overlap, with a clean gap after each, in which the system has to
// recover. A family that is chosen by name but impossible with these nodes is an
// error; of "all" it is left out.
func Plan(c PlanConfig) ([]Step, error) {
	chosen, err := c.fill()
	if err != nil || len(chosen) == 0 {
		return nil, err
	}
	p := &planner{
		PlanConfig: c, rng: rand.New(rand.NewPCG(c.Seed, 0x6e656d65736973)), families: chosen,
		flavors: map[int][]int{}, had: map[string]time.Duration{},
		end: c.Duration - c.Grace, crowdEnd: c.Grace,
	}
	if c.Noise {
		p.noise()
	}
	background := len(p.steps)
	for len(p.families) > 0 && p.deal() {
	}
	if len(p.steps) == background {
		return nil, fmt.Errorf("plan faults: %v is too short for any", c.Duration)
	}
	return p.steps, nil
}

// fill sets the defaults and returns the chosen families with those flavors that
// are possible.
func (c *PlanConfig) fill() ([]family, error) {
	c.Interval = cmp.Or(c.Interval, 5*time.Second)
	// Faults that are to come more often have to be shorter.
	c.MinFor = cmp.Or(c.MinFor, min(2*time.Second, c.Interval*2/5))
	c.MaxFor = max(c.MinFor, cmp.Or(c.MaxFor, min(5*time.Second, c.Interval)))
	c.Overlap = cmp.Or(c.Overlap, 0.25)
	c.Grace = cmp.Or(c.Grace, min(2*time.Second, c.Duration/10))
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	var errs []error
	if len(c.Nodes) == 0 {
		errs = append(errs, errors.New("plan faults: there are no nodes"))
	}
	if c.Duration <= 0 {
		errs = append(errs, fmt.Errorf("plan faults: duration %v: want more than 0", c.Duration))
	}
	var out []family
	for _, f := range families() {
		named := slices.Contains(c.Faults, f.name)
		inAll := f.weight > 0 && (c.Claimed == nil || slices.Contains(c.Claimed, f.name))
		if !named && !(inAll && slices.Contains(c.Faults, "all")) {
			continue
		}
		f.weight = cmp.Or(f.weight, f.byName, 1)
		if c.Claimed != nil && (!named || covers(c.Claimed, f.name)) {
			f.flavors = slices.DeleteFunc(f.flavors, func(v flavor) bool {
				return len(Outside(v.samples(), c.Claimed)) > 0
			})
		}
		var reason error
		f.flavors, reason = c.possible(f)
		switch {
		case len(f.flavors) > 0:
			out = append(out, f)
		case named:
			why := strings.TrimPrefix(reason.Error(), f.name+": ")
			errs = append(errs, fmt.Errorf("plan faults: %s: %s", f.name, why))
		default:
			c.Logger.Info("fault left out", "fault", f.name, "reason", reason)
		}
	}
	if c.Noise && (len(c.Nodes) < 3 ||
		!slices.ContainsFunc(out, func(f family) bool { return f.name == "messages" })) {
		errs = append(errs, errors.New(
			"plan faults: noise: it takes three nodes, and messages among the faults"))
	}
	if err := ValidateFaults(c.Faults); err != nil {
		errs = append(errs, fmt.Errorf("plan faults: %w", err))
	}
	return out, errors.Join(errs...)
}

// samples are steps of the flavor. What a claim covers may depend on their parameters.
func (v flavor) samples() []Step {
	steps := []Step{{Fault: v.kind}}
	if v.params == nil {
		return steps
	}
	const enough = 8
	rng := rand.New(rand.NewPCG(1, enough))
	for range enough {
		steps = append(steps, Step{Fault: v.kind, Params: v.params(rng)})
	}
	return steps[1:]
}

// ValidateFaults reports every name that PlanConfig.Faults does not take.
func ValidateFaults(names []string) error {
	known := []string{"all", "none"}
	for _, f := range families() {
		known = append(known, f.name)
	}
	var errs []error
	for _, name := range names {
		if !slices.Contains(known, name) {
			errs = append(errs, fmt.Errorf("there is no fault %q; there are %s",
				name, strings.Join(known, ", ")))
		}
	}
	if len(names) > 1 && slices.Contains(names, "none") {
		errs = append(errs, errors.New("none excludes all other faults"))
	}
	return errors.Join(errs...)
}

// possible returns the flavors that can hit somebody among the nodes, and why
// others cannot.
func (c *PlanConfig) possible(f family) ([]flavor, error) {
	var out []flavor
	var reasons []error
	told := map[string]bool{}
	for _, v := range f.flavors {
		if v.target == TargetPrimaries && c.NoPrimaries {
			v.target = TargetOne
		}
		err := v.fits(len(c.Nodes), c.Orders)
		if err == nil {
			err = v.lacking(c.Lacks)
		}
		if err != nil {
			// What several kinds lack is told once.
			why := strings.TrimPrefix(err.Error(), v.kind+": ")
			if !told[why] {
				reasons = append(reasons, err)
			}
			told[why] = true
			c.Logger.Debug("way to hurt left out", "fault", f.name, "reason", err)
			continue
		}
		out = append(out, v)
	}
	return out, errors.Join(reasons...)
}

// fits says whether the flavor can do anything among n nodes that take these orders.
func (v flavor) fits(n int, orders []AdminF) error {
	k, err := kindNamed(v.kind)
	if err == nil {
		err = k.possibleWith(orders)
	}
	if err != nil {
		return err
	}
	if v.shape != "" {
		if err := v.shape.fits(n); err != nil {
			return err
		}
	}
	switch {
	case v.target == TargetMinority && n < 3, v.target == TargetMinorityThird && n < 4:
		return fmt.Errorf("%s of %d nodes is no node at all", v.target, n)
	case (v.kind == "transfer" || v.kind == "move") && n < 2:
		return errors.New("one node has nobody to hand anything to")
	case (stopsByDisk(v.kind) || v.kind == "remove-member" || v.kind == "disk-wipe") && n < 3:
		return fmt.Errorf("%s hits a minority, and of %d nodes that is no node at all", v.kind, n)
	case sortOf(v.kind) == "messages" && n < 2:
		return errors.New("one node has no links to others")
	case (v.kind == "echo" || v.kind == "isolate-kill" || v.kind == "isolate-restart") && n < 2:
		return errors.New("one node has no peers")
	default:
		return nil
	}
}

// planner makes one schedule.
type planner struct {
	PlanConfig
	rng      *rand.Rand
	families []family
	end      time.Duration // no fault is in force after it

	deck    []int         // families to come, the next one last
	first   int           // cards of the first deck that are still to come
	decks   int           // decks begun
	flavors map[int][]int // of each family: flavors to come, the next one last

	steps    []Step
	crowded  int           // steps since the last clean gap
	crowdEnd time.Duration // when the last of them ends
	// had is, for each of regulars, the start of the minute that has it, plus 1.
	had map[string]time.Duration
}

// deal adds one step and reports whether there is time for more.
func (p *planner) deal() bool {
	fam, dealt := p.nextFamily()
	v := p.nextFlavor(fam)
	at, crowd := p.place(v)
	at = at.Round(time.Millisecond)
	if late := staggerMost * time.Duration(len(p.Nodes)-1); v.apart &&
		p.MinFor+late > p.room(at, v) {
		v.params, v.apart = nil, false // there is no time for the restarts
	}
	dur := p.length(v, at)
	if end := p.end - p.longestHealing(v); at+dur > end {
		dur = end - at
	}
	if dur < p.least(v) {
		return false
	}
	s := p.resolve(v)
	for try := 0; try < 4 && crowd && p.taken(s); try++ {
		s = p.resolve(v)
	}
	if !crowd {
		p.crowded, p.crowdEnd = 0, 0
	}
	s = p.add(s, at, dur)
	for _, m := range regulars() {
		if m.family == p.families[fam].name && m.is(v) && s.For >= m.least {
			p.had[m.name] = s.At.Truncate(regularEvery) + 1
		}
	}
	if dealt {
		p.first = max(0, p.first-1)
	}
	p.follow(v)
	return true
}

// add appends a step to the present crowd.
func (p *planner) add(s Step, at, dur time.Duration) Step {
	s.ID, s.At, s.For = int64(len(p.steps)+1), at, dur.Round(time.Millisecond)
	p.crowded++
	p.crowdEnd = max(p.crowdEnd, s.At+s.For+p.healing(s))
	p.steps = append(p.steps, s)
	return s
}

// longestHealing is the time that healing the flavor takes at most, if that is long.
func (p *planner) longestHealing(v flavor) time.Duration {
	if !v.apart {
		return 0
	}
	return staggerMost * time.Duration(len(p.Nodes)-1)
}

// taken reports whether other faults of the present crowd have all nodes that a fault
// of clocks or disks is to hit, so that it would find nothing to do.
func (p *planner) taken(s Step) bool {
	if sort := sortOf(s.Fault); sort != "clock" && sort != "disk" || len(s.Nodes) == 0 {
		return false
	}
	var busy []Node
	for _, other := range p.steps[len(p.steps)-p.crowded:] {
		if sort := sortOf(other.Fault); sort != "net" && sort != "messages" {
			busy = append(busy, other.Nodes...)
		}
	}
	return len(others(s.Nodes, busy)) == 0
}

// healing is how much longer than usual it takes to heal a step.
func (p *planner) healing(s Step) time.Duration {
	k, err := kindNamed(s.Fault)
	if err != nil {
		panic(fmt.Sprintf("nemesis: planned a fault that does not exist: %v", err))
	}
	set, err := k.settings(s.Params)
	if err != nil {
		panic(fmt.Sprintf("nemesis: planned %s: %v", s.Fault, err))
	}
	if k.UsesClocks || k.UsesDisks || k.Admin != nil {
		return time.Second // they are watched until they are true, or sound, again
	}
	return set.duration("stagger") * time.Duration(len(p.Nodes)-1) * 2 / 3
}

// least is how short a step of the flavor may become at the end of the plan.
func (p *planner) least(v flavor) time.Duration {
	if v.quick {
		return 50 * time.Millisecond
	}
	return min(p.MinFor, leastFor)
}

// nextFamily takes the next card of the deck of families, or, not dealt, one whose regular
// fault has to come.
func (p *planner) nextFamily() (fam int, dealt bool) {
	if len(p.deck) == 0 {
		p.shuffle()
	}
	for _, m := range regulars() {
		i := slices.IndexFunc(p.families, func(f family) bool {
			return f.name == m.family && slices.ContainsFunc(f.flavors, m.is)
		})
		if i >= 0 && (p.first == 0 || p.pressing(p.crowdEnd)) && p.wants(m, false) {
			return i, false
		}
	}
	fam = p.deck[len(p.deck)-1]
	p.deck = p.deck[:len(p.deck)-1]
	return fam, true
}

// shuffle makes a new deck. The first has one card of each family, the core
// families on top; the others have each as often as its weight.
func (p *planner) shuffle() {
	var rest, core []int
	for i, f := range p.families {
		switch {
		case p.decks > 0:
			for range f.weight {
				rest = append(rest, i)
			}
		case f.core:
			core = append(core, i)
		default:
			rest = append(rest, i)
		}
	}
	swap := func(s []int) func(i, j int) { return func(i, j int) { s[i], s[j] = s[j], s[i] } }
	p.rng.Shuffle(len(rest), swap(rest))
	p.rng.Shuffle(len(core), swap(core))
	if p.decks == 0 {
		switch p.first = len(rest) + len(core); {
		case p.Duration >= shortPlan || len(core) == 0:
		case len(core) == coreFamilies || len(rest) == 0:
			p.first = len(core)
		default:
			// Somebody has chosen some of both: each family counts as much as the others,
			// and what there is no time for may be left out.
			p.first = 0
			rest, core = append(rest, core...), nil
			p.rng.Shuffle(len(rest), swap(rest))
		}
	}
	p.decks++
	p.deck = append(rest, core...)
}

// nextFlavor takes the next card of a family's deck of flavors.
func (p *planner) nextFlavor(fam int) flavor {
	all := p.families[fam].flavors
	for _, m := range regulars() {
		card := slices.IndexFunc(all, m.is)
		if m.family != p.families[fam].name || card < 0 || !p.wants(m, true) {
			continue
		}
		if at := slices.Index(p.flavors[fam], card); at >= 0 {
			p.flavors[fam] = slices.Delete(p.flavors[fam], at, at+1)
		}
		return all[card]
	}
	deck, begun := p.flavors[fam]
	if len(deck) == 0 {
		for i, v := range all {
			for range max(1, v.weight) {
				deck = append(deck, i)
			}
		}
		if begun {
			deck = spread(p.rng, deck, func(i int) bool { return all[i].telling })
		} else {
			deck = p.firstDeck(p.families[fam], deck)
		}
	}
	p.flavors[fam] = deck[:len(deck)-1]
	return all[deck[len(deck)-1]]
}

// spread shuffles a deck so that the telling cards and the others follow each other
// as evenly as their numbers allow.
func spread(rng *rand.Rand, deck []int, telling func(int) bool) []int {
	rng.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
	total := 0.0
	for _, card := range deck {
		if telling(card) {
			total++
		}
	}
	type placed struct {
		card int
		at   float64
	}
	var all []placed
	// Each pile is dealt over the whole deck, from a random phase on.
	next := map[bool]float64{true: rng.Float64(), false: rng.Float64()}
	for _, card := range deck {
		pile := telling(card)
		size := float64(len(deck)) - total
		if pile {
			size = total
		}
		all = append(all, placed{card: card, at: next[pile] / size})
		next[pile]++
	}
	slices.SortStableFunc(all, func(a, b placed) int { return cmp.Compare(a.at, b.at) })
	for i, c := range all {
		deck[i] = c.card
	}
	return deck
}

// share is the time that each card of the first deck may take; false: those are
// dealt, and there is no limit.
func (p *planner) share(at time.Duration, v flavor) (time.Duration, bool) {
	if p.first == 0 {
		return 0, false
	}
	left := p.end - at
	if p.end <= at.Truncate(regularEvery)+regularEvery {
		left = max(0, p.room(at, v))
	}
	return left / time.Duration(p.first), true
}

// place finds the start of the next step: inside the last one, or after a clean
// gap. Crowd reports the former.
func (p *planner) place(v flavor) (at time.Duration, crowd bool) {
	// Some crowds are full, and some faults do not mix: aim higher.
	chance := 1.7 * p.Overlap
	if p.crowded > 0 {
		last := p.steps[len(p.steps)-1]
		if sortOf(last.Fault) == "messages" || last.For >= longMin {
			// What matters is what is under way, or what has become of those that a long
			// fault keeps from the others, when something else happens.
			chance *= 2
		}
	}
	if p.crowded > 0 && (alone(v.kind, v.shape, v.long) ||
		alone(p.steps[len(p.steps)-1].Fault, p.steps[len(p.steps)-1].Shape,
			p.steps[len(p.steps)-1].For >= longMin)) {
		chance = 0
	}
	overlap := p.rng.Float64() < chance
	if overlap && p.crowded > 0 && p.crowded < crowdSize && p.mixes(v) {
		last := p.steps[len(p.steps)-1]
		return last.At + time.Duration((0.1+0.8*p.rng.Float64())*float64(last.For)), true
	}
	if p.crowded == 0 {
		return p.crowdEnd, false
	}
	busy := (p.MinFor + p.MaxFor) * 9 / 14 // the long ones count, too
	gap := max(p.Interval-busy, min(time.Second, p.Interval/4))
	gap = time.Duration((0.8 + 0.6*p.rng.Float64()) * float64(gap))
	if share, limited := p.share(p.crowdEnd, v); limited {
		gap = min(gap, share*3/10)
	}
	return p.crowdEnd + gap, false
}

// alone says of a fault that it shows what it has to show only if nothing else happens: it is
// a sequence of its own, or lasts until a lack of progress is certain, of which nobody could
// tell the cause if there were two.
func alone(kind string, shape Shape, long bool) bool {
	switch kind {
	case "isolate-restart", "isolate-kill", "kill-seq":
		return true
	}
	return shape == ShapeDeaf && long
}

// mixes says whether the flavor can overlap all steps of the present crowd so
// that each still leaves evidence of its own.
func (p *planner) mixes(v flavor) bool {
	for _, s := range p.steps[len(p.steps)-p.crowded:] {
		before, now := sortOf(s.Fault), sortOf(v.kind)
		if s.Fault == "disk-slow" && now == "kill" {
			continue // a disk is slow for whoever writes to it, also after a restart
		}
		down := func(sort string, t Target) bool {
			return sort != "net" && sort != "clock" && (t == TargetAll || t == TargetMajority)
		}
		switch {
		case before == "cycle" && (now == "kill" || now == "pause" || now == "cycle"),
			now == "cycle" && (before == "kill" || before == "pause"),
			before == "kill" && (now == "pause" || now == "kill"),
			before == "disk" && (now == "kill" || now == "pause" || now == "cycle"),
			now == "disk" && (before == "kill" || before == "pause" || before == "cycle"):
			return false // they would want the same process
		case before == now && (now == "clock" || now == "disk" || now == "admin"):
			return false // they would want the same thing
		case down(before, s.Target) && now != "net", down(now, v.target) && before != "net":
			return false // nobody would be left
		case len(p.Nodes) < 3 && before == "net" && now == "messages",
			len(p.Nodes) < 3 && before == "messages" && now == "net":
			return false // no message would be left
		}
	}
	return true
}

// sortOf tells in coarse terms what a kind of fault acts on.
func sortOf(kind string) string {
	switch kind {
	case "partition", "one-way", "clients", "flapping":
		return "net"
	case "kill", "kill-all", "kill-seq", "isolate-kill", "isolate-restart":
		return "kill"
	case "pause", "cpu", "memory":
		return "pause"
	case "restart-storm", "rolling-restart":
		return "cycle"
	case "clock-jump", "clock-drift", "clock-strobe", "clock-freeze",
		"wall-jump", "wall-drift", "wall-strobe":
		return "clock"
	case "disk-slow", "disk-error", "disk-full", "disk-torn", "bit-flip", "disk-wipe",
		"volume-full", "volume-slow", "write-limit", "power-loss", "file-flip", "file-truncate",
		"rollback":
		return "disk"
	case "transfer", "move", "remove-member":
		return "admin"
	default:
		return "messages"
	}
}

// length draws how long a step lasts that begins at the given time.
func (p *planner) length(v flavor, at time.Duration) time.Duration {
	between := func(a, b time.Duration) time.Duration {
		return a + time.Duration(p.rng.Int64N(int64(b-a)+1))
	}
	if v.quick {
		return between(50*time.Millisecond, time.Second)
	}
	share, limited := p.share(at, v)
	all := p.room(at, v)
	left := all - time.Duration(max(0, p.first-1))*cardMin
	for _, m := range regulars() {
		if m.is(v) && p.lacks(m, at) {
			left = max(left, min(all, m.least))
		}
	}
	// With those that are long by nature about one in five, and as much less as faults come
	// more often. What is long in healing is long enough.
	long := p.rng.Float64() < 0.125*min(1, p.Interval.Seconds()/5) && !v.apart
	if least := p.longLeast(v); v.long && left >= least {
		return between(least, max(least, min(least*3/2, left)))
	}
	if long && left >= longMax {
		return between(longMin, longMax)
	}
	d := between(p.MinFor, p.MaxFor)
	if limited {
		d = max(min(d, share*7/10), leastFor)
	}
	if stopsByDisk(v.kind) || v.kind == "transfer" {
		d = max(d, min(left, 2*time.Second)) // a node writes some time, an order takes some
	}
	return d
}

// longLeast is how short a long fault may be: shorter if faults come more often, unless a
// lack of progress is what it shows, or what comes late.
func (p *planner) longLeast(v flavor) time.Duration {
	if alone(v.kind, v.shape, v.long) || v.kind == "echo" {
		return longMin
	}
	return time.Duration(float64(longMin) * min(1, p.Interval.Seconds()/5))
}

// resolve decides all of a step but its time.
func (p *planner) resolve(v flavor) Step {
	s := Step{
		Fault: v.kind, Shape: v.shape, Target: v.target, Seed: uint64(p.rng.Uint32()) + 1,
	}
	if v.params != nil {
		s.Params = v.params(p.rng)
	}
	if v.target == "" {
		return s
	}
	aim := v.target
	if aim == TargetPrimaries {
		aim = TargetOne
	}
	hit, err := aim.Pick(p.Nodes, nil, p.rng)
	if err != nil {
		panic(fmt.Sprintf("nemesis: flavor %+v of %d nodes: %v", v, len(p.Nodes), err))
	}
	if v.target == TargetPrimaries {
		s.Else = hit
	} else {
		s.Nodes = hit
	}
	return s
}

// percent draws a share between a and b percent.
func percent(rng *rand.Rand, a, b int) string {
	return strconv.FormatFloat(float64(a+rng.IntN(b-a+1))/100, 'g', -1, 64)
}

// millis draws a duration between a and b milliseconds.
func millis(rng *rand.Rand, a, b int) string {
	return (time.Duration(a+rng.IntN(b-a+1)) * time.Millisecond).String()
}
