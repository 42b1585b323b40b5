package soak

import (
	"cmp"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/internal/strictyaml"
	"github.com/ordeal-dev/ordeal/run"
	"github.com/ordeal-dev/ordeal/systems"
)

var errLimit = errors.New("limit: want more than 0s")

// every stands for all protocols, or for all workloads that the system suggests.
const every = "all"

// span adds the cells of an entry: what it does not say is said by the defaults, and what
// those do not say by the checker.
func (l *planLoader) span(p *Plan, e, defaults entry) {
	if e.Weight.Line > 0 {
		l.within("weight", e.Weight, 1, weightMost)
	}
	if e.Name.Line > 0 && !nameShape.MatchString(e.Name.Value) {
		l.bad(e.Name.Line, "name is %q: want a name of letters, digits, . - _", e.Name.Value)
	}
	own := func(t text) bool { return systems.IsDeclared(t.Value) }
	if e.Canary.Value && e.Bug.Value == "" && !slices.ContainsFunc(e.System, own) {
		l.bad(e.Canary.Line, "a canary needs a bug to be found")
	}
	if cells := combinations(e, defaults); cells > cellsMost {
		l.bad(e.Line, "the entry spans %d cells: at most %d", cells, cellsMost)
		return
	}
	told := map[string]bool{} // a mistake of many cells is told once
	for _, system := range either(e.System, defaults.System, run.Default().System) {
		for _, protocol := range l.protocols(system.Value, e, defaults) {
			for _, workload := range either(e.Workload, defaults.Workload, "") {
				base := l.config(e, defaults, system.Value, protocol)
				for _, w := range l.workloads(base, workload, e, told) {
					base.Workload = w
					l.faults(p, base, e, defaults, told)
				}
			}
		}
	}
}

func isFile(t text) bool { return systems.IsFile(t.Value) }

// combinations is the least number of cells of an entry.
func combinations(e, d entry) int {
	n := 1
	for _, length := range []int{
		len(either(e.System, d.System, "")), len(either(e.Protocol, d.Protocol, "")),
		len(either(e.Workload, d.Workload, "")), len(either(e.Faults, d.Faults, "")),
		max(1, len(e.Time)),
	} {
		n = min(n*length, 1<<30)
	}
	return n
}

// either returns the first list that is there, or the standard.
func either(own, defaults []text, standard string) []text {
	if len(own) > 0 {
		return own
	}
	if len(defaults) > 0 {
		return defaults
	}
	return []text{{Value: standard}}
}

// protocols are those of the entry, of the reference cluster.
func (l *planLoader) protocols(system string, e, defaults entry) []string {
	if system != run.Default().System {
		if len(e.Protocol) > 0 {
			l.bad(e.Protocol[0].Line, "protocols are the reference cluster's, not %s's", system)
		}
		return []string{""}
	}
	var out []string
	for _, t := range either(e.Protocol, defaults.Protocol, run.Default().Protocol) {
		if t.Value != every {
			out = append(out, t.Value)
			continue
		}
		for _, p := range systems.Protocols() {
			out = append(out, p.Name)
		}
	}
	return out
}

// config is the test of an entry, but for workload, faults and time.
func (l *planLoader) config(e, d entry, system, protocol string) run.Config {
	c := run.Default()
	c.System, c.Protocol, c.Bug = l.path(system, isFile(text{Value: system})), protocol, e.Bug.Value
	for _, p := range slices.Concat(d.Settings, e.Settings) {
		if c.Settings == nil {
			c.Settings = map[string]string{}
		}
		c.Settings[p.Key.Value] = p.Value.Value
	}
	set(&c.Cluster, e.Cluster, d.Cluster)
	set(&c.Nodes, e.Nodes, d.Nodes)
	set(&c.NodesFile, e.NodesFile, d.NodesFile)
	c.NodesFile = l.path(c.NodesFile, true)
	set(&c.Project, e.Project, d.Project)
	c.Hosts, c.Endpoints = list(e.Hosts, d.Hosts), list(e.Endpoints, d.Endpoints)
	set(&c.Concurrency, e.Concurrency, d.Concurrency)
	set(&c.Rate, e.Rate, d.Rate)
	set(&c.Rush, e.Rush, d.Rush)
	set(&c.Keys, e.Keys, d.Keys)
	set(&c.OpsPerKey, e.OpsPerKey, d.OpsPerKey)
	set(&c.Interval, e.Interval, d.Interval)
	set(&c.TxnPause, e.TxnPause, d.TxnPause)
	set(&c.Noise, e.Noise, d.Noise)
	set(&c.Schedule, e.Schedule, d.Schedule)
	c.Schedule = l.path(c.Schedule, true)
	set(&c.OpTimeout, e.OpTimeout, d.OpTimeout)
	set(&c.RequestTimeout, e.RequestTimeout, d.RequestTimeout)
	set(&c.CheckTime, e.CheckTime, d.CheckTime)
	set(&c.Engine, e.Engine, d.Engine)
	set(&c.StopOnViolation, e.StopOnViolation, d.StopOnViolation)
	for _, size := range []text{d.CheckMemory, e.CheckMemory} {
		if n := l.size("check_memory", size); n > 0 {
			c.CheckMemory = n
		}
	}
	return c
}

// set takes the first value that is there.
func set[T any](to *T, from ...strictyaml.At[T]) {
	for _, f := range from {
		if f.Line > 0 {
			*to = f.Value
			return
		}
	}
}

func list(own, defaults []text) []string {
	var out []string
	for _, t := range either(own, defaults, "") {
		if t.Value != "" {
			out = append(out, t.Value)
		}
	}
	return out
}

// path makes the path of a file, which the plan names from its own directory, one from the
// working directory.
func (l *planLoader) path(p string, file bool) string {
	if !file || p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(l.dir, p)
}

// workloads are those of a word of the plan.
func (l *planLoader) workloads(
	base run.Config, word text, e entry, told map[string]bool,
) []string {
	if word.Value != "" && word.Value != every {
		return []string{word.Value}
	}
	// Mistakes of the system are told by its cells.
	suggested, err := base.Suggested()
	if err != nil {
		l.tell(cmp.Or(word.Line, e.Line), err, told)
		return nil
	}
	if word.Value == "" {
		return suggested[:1]
	}
	return suggested
}

// faults adds the cells of one system and workload.
func (l *planLoader) faults(
	p *Plan, base run.Config, e, defaults entry, told map[string]bool,
) {
	times := e.Time
	if len(times) == 0 {
		times = defaults.Time
	}
	if len(times) == 0 {
		times = []duration{{Value: run.Default().TimeLimit}}
	}
	standard := strings.Join(run.Default().Faults, ",")
	for _, faults := range either(e.Faults, defaults.Faults, standard) {
		for _, t := range times {
			c := base
			c.TimeLimit, c.Faults = t.Value, strings.Split(faults.Value, ",")
			for i := range c.Faults {
				c.Faults[i] = strings.TrimSpace(c.Faults[i])
			}
			l.add(p, c, e, defaults, told)
		}
	}
}

// add tries a cell, and adds it.
func (l *planLoader) add(p *Plan, c run.Config, e, defaults entry, told map[string]bool) {
	counted := e.Nodes.Line > 0 || defaults.Nodes.Line > 0
	said := c.Settings // the system adds some of its own
	c.Settings = maps.Clone(said)
	if err := c.ReadSystem(counted); err != nil {
		l.tell(e.Line, err, told)
		return
	}
	c.ChooseHosts(run.SiteNodesFile)
	if err := c.CountHosts(); err != nil {
		l.tell(e.Line, err, told)
		return
	}
	if err := c.Validate(); err != nil {
		l.tell(e.Line, err, told)
	}
	cell := Cell{
		CellInfo: describe(c, said, e.Name.Value), Config: c, Limit: c.Longest(),
		Exclusive: c.BasePort > 0 || len(c.Endpoints) > 0 ||
			slices.Contains([]string{"ssh", "compose"}, c.Cluster),
	}
	cell.Weight, cell.Canary = max(1, e.Weight.Value), e.Canary.Value
	set(&cell.Limit, e.Limit, defaults.Limit)
	if cell.Limit <= 0 {
		l.tell(cmp.Or(e.Limit.Line, defaults.Limit.Line), errLimit, told)
	}
	same := func(o Cell) bool { return o.ID == cell.ID }
	if slices.ContainsFunc(p.Cells, same) {
		l.bad(e.Line, "the cell %s is there already: a name tells entries apart", cell.ID)
		return
	}
	p.Cells = append(p.Cells, cell)
}

// describe names a cell by what it is.
func describe(c run.Config, said map[string]string, name string) CellInfo {
	system := filepath.Base(c.System)
	system = strings.TrimSuffix(system, filepath.Ext(system))
	if !systems.IsFile(c.System) {
		system = strings.TrimSpace(c.System + " " + c.Protocol)
	}
	for _, setting := range slices.Sorted(maps.Keys(said)) {
		system += " " + setting + "=" + said[setting]
	}
	faults := strings.Join(c.Faults, "+")
	if c.Schedule != "" {
		faults = strings.TrimSuffix(filepath.Base(c.Schedule), filepath.Ext(c.Schedule))
	}
	i := CellInfo{
		Cluster: c.Cluster, System: system, Workload: c.Workload, Faults: faults, Bug: c.Bug,
		Time: c.TimeLimit,
	}
	parts := []string{
		name, c.Cluster, strings.TrimPrefix(strings.ReplaceAll(system, " ", "-"), "reference-"),
		c.Workload, faults, shortTime(c.TimeLimit), c.Bug,
	}
	i.ID = strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), "/")
	return i
}

// tell adds the mistakes of a cell, those that other cells of the entry have, too, once.
func (l *planLoader) tell(line int, err error, told map[string]bool) {
	for _, what := range strings.Split(err.Error(), "\n") {
		if !told[what] {
			told[what] = true
			l.bad(line, "%s", what)
		}
	}
}

// shortTime is a duration without zeros at its end: "1m", "8h".
func shortTime(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
