package nemesis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fault is one thing that goes wrong. Heal must be idempotent; it is called on a
// context that outlives the test, also after an Inject that failed half-way.
type Fault interface {
	// Inject makes it happen and says what could be seen of it at once.
	Inject(ctx context.Context) (Evidence, error)
	// Observe, called once just before Heal, says what the fault has done.
	Observe(ctx context.Context) (Evidence, error)
	// Heal takes it back and returns nil only when that was verified; the
	// evidence says how.
	Heal(ctx context.Context) (Evidence, error)
}

// Unit is what a parameter is measured in.
type Unit string

// The units of parameters.
const (
	UnitShare    Unit = "share"   // of messages, from 0 to 1
	UnitDuration Unit = "time"    // as in "50ms"
	UnitRate     Unit = "bytes/s" // per link and direction
	UnitOffset   Unit = "offset"  // as in "-50ms"
	UnitFactor   Unit = "factor"  // of a clock's rate, more than 0, at most 1000
	UnitClock    Unit = "clock"   // wall, monotonic or both
	UnitPercent  Unit = "percent" // whole, from 1 to 100
	UnitBytes    Unit = "bytes"
	UnitPath     Unit = "path" // of a file on a node
	// UnitFilesystem is ext4 or xfs.
	UnitFilesystem Unit = "filesystem"
)

// Param is a parameter of a kind of fault.
type Param struct {
	Name    string
	Unit    Unit
	Default string
	Doc     string
}

// check returns an error when text is no value of the parameter.
func (p Param) check(text string) error {
	var ok bool
	switch p.Unit {
	case UnitShare:
		f, err := strconv.ParseFloat(text, 64)
		ok = err == nil && f >= 0 && f <= 1
	case UnitDuration:
		d, err := time.ParseDuration(text)
		ok = err == nil && d >= 0
	case UnitRate, UnitBytes:
		n, err := strconv.Atoi(text)
		ok = err == nil && n >= 0
	case UnitOffset:
		_, err := time.ParseDuration(text)
		ok = err == nil
	case UnitFactor:
		f, err := strconv.ParseFloat(text, 64)
		ok = err == nil && f > 0 && f <= 1000
	case UnitPercent:
		n, err := strconv.Atoi(text)
		ok = err == nil && n >= 1 && n <= 100
	case UnitPath:
		ok = text != "" && !strings.ContainsAny(text, "\x00\n")
	case UnitFilesystem:
		ok = slices.Contains([]string{"ext4", "xfs"}, text)
	case UnitClock:
		ok = slices.Contains([]string{"wall", "monotonic", "both"}, text)
	}
	if !ok {
		return fmt.Errorf("parameter %s: %q is no %s", p.Name, text, p.Unit)
	}
	return nil
}

// Kind is a kind of fault in the catalog.
type Kind struct {
	Name string
	Doc  string
	// Shapes are the shapes that it knows, the default first; nil: it has none.
	Shapes []Shape
	// Target is its default target; empty means that it concerns all links
	// unless a step names a target.
	Target Target
	Params []Param
	// Proof says what evidence it has to leave.
	Proof string
	// UsesNetwork to UsesDisks say through what it acts.
	UsesNetwork, UsesProcesses, UsesClocks, UsesDisks bool
	// Host is what it needs to be able to do to hosts; empty: nothing.
	Host Power
	// Admin are the orders of an operator that it needs.
	Admin []AdminF

	build func(job) (prepared, error)
}

// job is all that is needed to make a fault of a step.
type job struct {
	step  Step
	nodes []Node // of the cluster
	hit   []Node
	set   settings
	rng   *rand.Rand
	env   *Env
	world *world
}

// handle names the rules of the job's fault.
func (j job) handle() Handle { return Handle("fault-" + strconv.FormatInt(j.step.ID, 10)) }

// prepared is a fault that is ready to be injected.
type prepared struct {
	fault Fault
	nodes []Node
	what  string
	undo  []string
}

// settings are the parameters of a step, defaults filled in.
type settings map[string]string

// share returns a parameter in UnitShare; it was checked before.
func (s settings) share(name string) float64 {
	f, _ := strconv.ParseFloat(s[name], 64)
	return f
}

// factor returns a parameter in UnitFactor.
func (s settings) factor(name string) float64 { return s.share(name) }

// offset returns a parameter in UnitOffset.
func (s settings) offset(name string) time.Duration { return s.duration(name) }

// duration returns a parameter in UnitDuration.
func (s settings) duration(name string) time.Duration {
	d, _ := time.ParseDuration(s[name])
	return d
}

// percent returns a parameter in UnitPercent.
func (s settings) percent(name string) int { return s.rate(name) }

// rate returns a parameter in UnitRate or UnitBytes.
func (s settings) rate(name string) int {
	n, _ := strconv.Atoi(s[name])
	return n
}

// settings fills in the defaults and checks the values.
func (k Kind) settings(p Params) (settings, error) {
	s := settings{}
	for _, param := range k.Params {
		s[param.Name] = param.Default
	}
	var errs []error
	for name, text := range p {
		i := slices.IndexFunc(k.Params, func(q Param) bool { return q.Name == name })
		if i < 0 {
			errs = append(errs, fmt.Errorf("%s has no parameter %q", k.Name, name))
			continue
		}
		errs = append(errs, k.Params[i].check(text))
		s[name] = text
	}
	return s, errors.Join(errs...)
}

// kindNamed returns the kind with this name.
func kindNamed(name string) (Kind, error) {
	kinds := Kinds()
	i := slices.IndexFunc(kinds, func(k Kind) bool { return k.Name == name })
	if i < 0 {
		names := make([]string, len(kinds))
		for i, k := range kinds {
			names[i] = k.Name
		}
		return Kind{}, fmt.Errorf("fault %q does not exist; there are %s",
			name, strings.Join(names, ", "))
	}
	return kinds[i], nil
}

// errNoOperator says that nobody can give orders.
var errNoOperator = errors.New("the system takes no orders of an operator")

// possibleWith says which of the orders that the kind needs the system does not take.
func (k Kind) possibleWith(orders []AdminF) error {
	for _, f := range k.Admin {
		if !slices.Contains(orders, f) {
			return fmt.Errorf("%s: the system cannot be told to do %s", k.Name, f)
		}
	}
	return nil
}

// PossibleWith returns why the step is impossible with a system that takes only these
// orders of an operator, nil if it is not.
func (s Step) PossibleWith(orders []AdminF) error {
	k, err := kindNamed(s.Fault)
	if err != nil {
		return err
	}
	return k.possibleWith(orders)
}

// target returns the step's target, or what follows from the rest of the step.
func (s Step) target(k Kind) Target {
	switch {
	case s.Target != "":
		return s.Target
	case len(s.Nodes) > 0:
		return TargetNodes
	case len(k.Shapes) > 0 && !s.shape(k).aimed():
		return ""
	default:
		return k.Target
	}
}

// shape returns the step's shape or the kind's default.
func (s Step) shape(k Kind) Shape {
	if s.Shape == "" && len(k.Shapes) > 0 {
		return k.Shapes[0]
	}
	return s.Shape
}

// Validate reports every mistake in the step that can be seen without knowing
// the cluster.
func (s Step) Validate() error {
	k, err := kindNamed(s.Fault)
	if err != nil {
		return err
	}
	var errs []error
	_, err = k.settings(s.Params)
	errs = append(errs, err)
	if s.ID < 1 {
		errs = append(errs, fmt.Errorf("id %d: want at least 1", s.ID))
	}
	if s.At < 0 || s.For <= 0 {
		errs = append(errs, fmt.Errorf("at %v for %v: want at >= 0 and for > 0", s.At, s.For))
	}
	if s.Within < 0 {
		errs = append(errs, fmt.Errorf("within %v: want more than 0", s.Within))
	}
	errs = append(errs, s.When.validate(s.ID), s.Until.validate(s.ID))
	if s.Shape != "" && !slices.Contains(k.Shapes, s.Shape) {
		errs = append(errs, fmt.Errorf("%s has no shape %q; it has %v", k.Name, s.Shape, k.Shapes))
	}
	if s.Target != "" && !slices.Contains(Targets(), s.Target) {
		errs = append(errs, fmt.Errorf("target %q does not exist", s.Target))
	}
	if s.Target == TargetNodes && len(s.Nodes) == 0 {
		errs = append(errs, fmt.Errorf("target %s needs a list of nodes", s.Target))
	}
	return errors.Join(errs...)
}

// validateIn reports the step's mistakes, also those that depend on the cluster.
func (s Step) validateIn(env *Env) error {
	if err := s.Validate(); err != nil {
		return fmt.Errorf("step %d: %w", s.ID, err)
	}
	k, err := kindNamed(s.Fault)
	if err != nil {
		return err
	}
	var errs []error
	for _, n := range slices.Concat(s.Nodes, s.Else) {
		if !slices.Contains(env.Nodes, n) {
			errs = append(errs, fmt.Errorf("step %d: there is no node %q", s.ID, n))
		}
	}
	for _, need := range []struct {
		missing bool
		what    string
	}{
		{k.UsesNetwork && env.Network == nil, "a network that can be disturbed"},
		{k.UsesProcesses && env.Processes == nil, "processes that can be killed"},
		{k.UsesClocks && env.Clocks == nil, "clocks that can be bent"},
		{k.UsesDisks && env.Disks == nil, "disks that can be troubled"},
		{k.Host != "" && env.Hosts == nil, "hosts that can be injured"},
	} {
		if need.missing {
			errs = append(errs, fmt.Errorf("step %d: %s needs %s", s.ID, s.Fault, need.what))
		}
	}
	if err := k.possibleWith(env.Orders); err != nil || env.Admin == nil && k.Admin != nil {
		errs = append(errs, fmt.Errorf("step %d: %w", s.ID, cmp.Or(err, errNoOperator)))
	}
	if len(k.Shapes) > 0 {
		if err := s.shape(k).fits(len(env.Nodes)); err != nil {
			errs = append(errs, fmt.Errorf("step %d: %w", s.ID, err))
		}
	}
	return errors.Join(errs...)
}
