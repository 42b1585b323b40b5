// Package declare reads the declaration of a system: a YAML file in which somebody says
// how the nodes of their own system are run, how a client talks to them and what they
// promise. docs/SYSTEMS.md describes every key.
//
// A declaration is found right or wrong as a whole, before anything is started: every
// template is filled in once, every path and pattern read, and all mistakes are told at
// once, each with its line.
package declare

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/internal/strictyaml"
	"github.com/ordeal-dev/ordeal/nemesis"
	"github.com/ordeal-dev/ordeal/systems/driver"
	"github.com/ordeal-dev/ordeal/systems/expand"
	"github.com/ordeal-dev/ordeal/systems/httpclient"
	"github.com/ordeal-dev/ordeal/systems/native"
	"github.com/ordeal-dev/ordeal/systems/operation"
	"github.com/ordeal-dev/ordeal/systems/sqlclient"
	"github.com/ordeal-dev/ordeal/workload"
)

type (
	text     = strictyaml.Text
	number   = strictyaml.At[int]
	duration = strictyaml.At[time.Duration]
)

// file is what the YAML looks like.
type file struct {
	Name    text `yaml:"name"`
	Doc     text `yaml:"doc"`
	Version text `yaml:"version"`
	// Settings are known before the rest is read, which they are a part of.
	Settings map[string]setting             `yaml:"settings"`
	Nodes    nodes                          `yaml:"nodes"`
	Files    []text                         `yaml:"files"`
	Env      map[string]text                `yaml:"env"`
	Install  text                           `yaml:"install"`
	Start    text                           `yaml:"start"`
	Stop     text                           `yaml:"stop"`
	Wipe     text                           `yaml:"wipe"`
	Process  process                        `yaml:"process"`
	Faketime bool                           `yaml:"faketime"`
	Logs     []text                         `yaml:"logs"`
	Setup    *httpclient.Question           `yaml:"setup"`
	Status   *httpclient.Question           `yaml:"status"`
	Admin    map[string]httpclient.Question `yaml:"admin"`
	Claim    claim                          `yaml:"claim"`
	Client   client                         `yaml:"client"`
}

type nodes struct {
	Count       number   `yaml:"count"`
	Port        number   `yaml:"port"`
	PeerPort    number   `yaml:"peer_port"`
	ReadyWithin duration `yaml:"ready_within"`
	StopWithin  duration `yaml:"stop_within"`
}

type process struct {
	Line    int  `yaml:",line"`
	Pattern text `yaml:"pattern"`
	PIDFile text `yaml:"pid_file"`
}

type claim struct {
	Line      int              `yaml:",line"`
	Text      text             `yaml:"text"`
	Available bool             `yaml:"available"`
	Faults    []text           `yaml:"faults"`
	Workloads strictyaml.Pairs `yaml:"workloads"`
}

type client struct {
	Line   int                `yaml:",line"`
	HTTP   *httpclient.Config `yaml:"http"`
	Driver *driverConfig      `yaml:"driver"`
	SQL    *sqlclient.Config  `yaml:"sql"`
}

type driverConfig struct {
	Line        int             `yaml:",line"`
	Command     []text          `yaml:"command"`
	Env         map[string]text `yaml:"env"`
	HelloWithin duration        `yaml:"hello_within"`
}

// Declaration is one that has been found right.
type Declaration struct {
	Name, Doc string
	// Version is a command of this machine that prints the system's version.
	Version string
	// Dir is where the declaration stands; commands of this machine run there.
	Dir string
	// Count is how many nodes it has if nobody says another number.
	Count int
	// Port and PeerPort are where nodes listen on hosts of their own.
	Port, PeerPort uint16
	// ReadyWithin is how long a node may take until it serves, StopWithin how long to end.
	ReadyWithin, StopWithin time.Duration
	// Files are files of this machine that every node gets, absolute.
	Files []string
	// Env, the commands, Pattern, PIDFile and Logs are templates for expand.Node.
	Env                        map[string]string
	Install, Start, Stop, Wipe string
	Pattern, PIDFile           string
	Logs                       []string
	// Faketime: the program asks libc for the time, so that libfaketime can bend its clocks.
	Faketime bool
	// Setup, Status and Orders are nil and empty where nothing was said of them.
	Setup  *httpclient.Asker
	Status *httpclient.Asker
	Orders map[string]*httpclient.Asker
	Claim  Claim
	// One of HTTP, Driver, SQL and Native is the client.
	HTTP   *httpclient.Client
	Driver *driver.Program
	SQL    *sqlclient.Client
	Native native.Client
}

// Claim is what the system promises.
type Claim struct {
	Text      string
	Available bool
	// Faults are the families of faults that it covers: if nothing is said, those of the
	// network and of processes.
	Faults []string
	// Workloads are those that test it, with the consistency that each promises.
	Workloads []Promised
}

// Promised is what is promised to a workload.
type Promised struct {
	Workload    string
	Consistency string
	Promise     workload.Promise
}

// Load reads a declaration of which the text is known, with the settings that were chosen;
// path is where it stands. The error has a line for each mistake.
func Load(path string, data []byte, settings map[string]string) (*Declaration, error) {
	return load(path, data, nil, settings)
}

// LoadNative reads the declaration of a system that the checker knows by name: the client is
// given, and is the one thing that it must not name.
func LoadNative(name string, data []byte, client native.Client) (*Declaration, error) {
	return load(name, data, client, nil)
}

func load(
	path string, data []byte, own native.Client, settings map[string]string,
) (*Declaration, error) {
	l := loader{native: own}
	var d *Declaration
	if f, ok := l.decode(data, settings); ok {
		wrong := len(l.problems)
		d = l.declaration(path, f)
		l.problems = l.problems.Without(l.problems[:wrong])
	}
	if len(l.problems) == 0 {
		return d, nil
	}
	l.problems.Sort()
	errs := make([]error, len(l.problems))
	for i, p := range l.problems {
		errs[i] = fmt.Errorf("%s: %w", path, p)
		if p.Line > 0 {
			errs[i] = fmt.Errorf("%s:%d: %s", path, p.Line, p.Text)
		}
	}
	return nil, errors.Join(errs...)
}

type loader struct {
	problems strictyaml.Problems
	// native is the client, nil if the declaration has to say which.
	native native.Client
}

func (l *loader) bad(line int, format string, args ...any) { l.problems.Add(line, format, args...) }

var nameShape = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,60}$`)

func (l *loader) declaration(path string, f file) *Declaration {
	dir := filepath.Dir(path)
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	d := &Declaration{
		Name: f.Name.Value, Doc: f.Doc.Value, Version: f.Version.Value, Dir: dir,
		Env: map[string]string{}, Orders: map[string]*httpclient.Asker{},
	}
	if !nameShape.MatchString(d.Name) {
		l.bad(f.Name.Line, "name is %q: want a name of letters, digits, . - _", d.Name)
	}
	l.nodes(d, f.Nodes)
	l.commands(d, f)
	d.Faketime = f.Faketime
	for _, file := range f.Files {
		p := file.Value
		if !filepath.IsAbs(p) {
			p = filepath.Join(dir, p)
		}
		if info, err := os.Stat(p); err != nil {
			l.bad(file.Line, "files: %v", err)
		} else if !info.Mode().IsRegular() {
			l.bad(file.Line, "files: %s is no file", p)
		}
		d.Files = append(d.Files, p)
	}
	if f.Setup != nil {
		d.Setup = l.question(*f.Setup, "setup", dir)
	}
	if f.Status != nil {
		d.Status = l.question(*f.Status, "status", dir)
	}
	l.orders(d, f.Admin)
	l.client(d, f.Client)
	l.claim(d, f.Claim)
	return d
}

func (l *loader) nodes(d *Declaration, n nodes) {
	within := func(what string, v number, low, high, standard int) int {
		if v.Line > 0 && (v.Value < low || v.Value > high) {
			l.bad(v.Line, "%s is %d: want %d to %d", what, v.Value, low, high)
		}
		return cmp.Or(v.Value, standard)
	}
	d.Count = within("count", n.Count, 1, 9, 3)
	d.Port = uint16(within("port", n.Port, 1, 65535, 7000))
	d.PeerPort = uint16(within("peer_port", n.PeerPort, 1, 65535, 7001))
	if d.Port == d.PeerPort {
		l.bad(n.PeerPort.Line, "port and peer_port are both %d", d.Port)
	}
	l.span(n.ReadyWithin)
	l.span(n.StopWithin)
	d.ReadyWithin = cmp.Or(n.ReadyWithin.Value, 15*time.Second)
	d.StopWithin = cmp.Or(n.StopWithin.Value, 3*time.Second)
}

// span wants a time for which somebody would wait.
func (l *loader) span(d duration) {
	if d.Line > 0 && (d.Value <= 0 || d.Value > 10*time.Minute) {
		l.bad(d.Line, "%v: want more than 0s and at most 10m", d.Value)
	}
}

// commands takes over what is filled in for each node.
func (l *loader) commands(d *Declaration, f file) {
	for _, c := range []struct {
		what string
		from text
		to   *string
	}{
		{"install", f.Install, &d.Install}, {"start", f.Start, &d.Start}, {"stop", f.Stop, &d.Stop},
		{"wipe", f.Wipe, &d.Wipe}, {"pattern", f.Process.Pattern, &d.Pattern},
		{"pid_file", f.Process.PIDFile, &d.PIDFile},
	} {
		*c.to = l.template(c.what, c.from)
		if f.Start.Value == "" && c.from.Value != "" {
			l.bad(c.from.Line, "%s without start: nodes that the checker does not start are not its "+
				"own", c.what)
		}
	}
	if d.Pattern != "" && d.PIDFile != "" {
		l.bad(f.Process.Line, "process has a pattern and a pid_file: one of the two")
	}
	for _, name := range slices.Sorted(maps.Keys(f.Env)) {
		if !envName.MatchString(name) {
			l.bad(f.Env[name].Line, "env: %q is no name of a variable", name)
		}
		d.Env[name] = l.template("env "+name, f.Env[name])
	}
	for _, t := range f.Logs {
		if !logPattern.MatchString(t.Value) {
			l.bad(t.Line, "logs: %q: want a path with * and ?, without spaces and quotes", t.Value)
		}
		d.Logs = append(d.Logs, l.template("logs", t))
	}
}

// logPattern is a path that a shell takes as it is; a template may have spaces.
var logPattern = regexp.MustCompile(`^(\{\{[^{}'"` + "`" +
	`$;&|<>()]*\}\}|[A-Za-z0-9_./*?@%+,:=-])+$`)

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// template tries a template on a node.
func (l *loader) template(what string, t text) string {
	if _, err := expand.Text(t.Value, expand.Sample(), true); err != nil &&
		!strings.Contains(t.Value, "Get") { // what this machine has the nodes may not have
		l.bad(t.Line, "%s: %v", what, err)
	} else if _, err := expand.Parse(t.Value, true); err != nil {
		l.bad(t.Line, "%s: %v", what, err)
	}
	return t.Value
}

func (l *loader) question(q httpclient.Question, what, dir string) *httpclient.Asker {
	a, problems := httpclient.CompileQuestion(q, what, dir)
	l.problems = append(l.problems, problems...)
	if what == "status" && len(problems) == 0 && !a.HasPrimary() && !a.HasMembers() {
		l.bad(q.Line, "status tells nothing: say how it shows who leads (primary), or the members")
	}
	return a
}

// orderNames are what an operator can tell a system to do.
func orderNames() []string { return []string{"transfer", "add-member", "remove-member"} }

func (l *loader) orders(d *Declaration, admin map[string]httpclient.Question) {
	for _, name := range slices.Sorted(maps.Keys(admin)) {
		q := admin[name]
		if !slices.Contains(orderNames(), name) {
			l.bad(q.Line, "admin: unknown order %q: there is %s", name, strings.Join(orderNames(), ", "))
			continue
		}
		d.Orders[name] = l.question(q, name, d.Dir)
		switch {
		case d.Status == nil || !d.Status.HasPrimary():
			l.bad(q.Line, "admin: %s goes to who leads, and is proved by who leads then: say so in "+
				"status", name)
		case name != "transfer" && !d.Status.HasMembers():
			l.bad(q.Line, "admin: %s is proved by the list of members: say where it is in status", name)
		}
	}
	if (d.Orders["add-member"] == nil) != (d.Orders["remove-member"] == nil) {
		l.bad(lineOfOrders(admin), "admin: who is removed must be added again: add-member and "+
			"remove-member go together")
	}
}

func lineOfOrders(admin map[string]httpclient.Question) int {
	return max(admin["add-member"].Line, admin["remove-member"].Line)
}

func (l *loader) client(d *Declaration, c client) {
	n := 0
	for _, there := range []bool{c.HTTP != nil, c.Driver != nil, c.SQL != nil} {
		if there {
			n++
		}
	}
	if l.native != nil {
		if d.Native = l.native; n != 0 {
			l.bad(c.Line, "client: it has one of its own")
		}
		return
	}
	if n != 1 {
		l.bad(c.Line, "client: want http, driver or sql, one of them")
		return
	}
	if c.SQL != nil {
		s, problems := sqlclient.Compile(*c.SQL)
		l.problems = append(l.problems, problems...)
		d.SQL = s
		return
	}
	if c.HTTP != nil {
		h, problems := httpclient.Compile(*c.HTTP)
		l.problems = append(l.problems, problems...)
		d.HTTP = h
		return
	}
	l.span(c.Driver.HelloWithin)
	p := &driver.Program{
		Dir: d.Dir, HelloWithin: cmp.Or(c.Driver.HelloWithin.Value, driver.HelloWithin),
	}
	for _, word := range c.Driver.Command {
		p.Argv = append(p.Argv, word.Value)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Driver.Env)) {
		p.Env = append(p.Env, name+"="+c.Driver.Env[name].Value)
	}
	if len(p.Argv) == 0 || p.Argv[0] == "" {
		l.bad(c.Driver.Line, "driver has no command")
		return
	}
	d.Driver = p
}

func (l *loader) claim(d *Declaration, c claim) {
	d.Claim = Claim{Text: c.Text.Value, Available: c.Available}
	if d.Claim.Text == "" {
		l.bad(c.Line, "claim has no text: say in a sentence what the system promises")
	}
	known := nemesis.Families()
	d.Claim.Faults = []string{} // not nil: a claim that survives nothing says so
	if c.Faults == nil {
		d.Claim.Faults = []string{"partition", "messages", "kill", "pause", "restart", "clients"}
	}
	for _, f := range c.Faults {
		if !slices.ContainsFunc(known, func(k nemesis.Family) bool { return k.Name == f.Value }) {
			l.bad(f.Line, "claim: unknown family of faults %q: see checker list faults", f.Value)
		}
		d.Claim.Faults = append(d.Claim.Faults, f.Value)
	}
	if len(c.Workloads) == 0 {
		l.bad(c.Line, "claim has no workloads: say what is promised, as in register: linearizable")
	}
	for _, p := range c.Workloads {
		w, err := workload.Lookup(p.Key.Value)
		if err != nil {
			l.bad(p.Key.Line, "claim: %v", err)
			continue
		}
		promise, err := Promise(w.Name, p.Value.Value)
		if err != nil {
			l.bad(p.Value.Line, "claim: %v", err)
		}
		if err := d.Supports(w.Object, w.Fs); err != nil {
			l.bad(p.Key.Line, "claim: workload %s: %v", w.Name, err)
		}
		d.Claim.Workloads = append(d.Claim.Workloads, Promised{w.Name, p.Value.Value, promise})
	}
}

// Supports says in a sentence why a workload with these operations cannot run, nil if it
// can. Of a driver only the driver knows.
func (d *Declaration) Supports(object string, fs []history.F) error {
	o, ok := operation.Named(object)
	if !ok {
		return fmt.Errorf("clients know no object %s", object)
	}
	for _, f := range fs {
		if d.Native != nil && !d.Native.Has(object, f) {
			return fmt.Errorf("the client of %s has no %s of a %s", d.Name, f, o.Name)
		}
		if d.SQL != nil && !d.SQL.Has(object, f) {
			return fmt.Errorf("the SQL client has no %s of a %s", f, o.Name)
		}
		if d.HTTP != nil && !d.HTTP.Has(object, f) {
			return fmt.Errorf("the client has no %s of a %s: describe it in client.http.objects.%s.%s",
				f, o.Name, o.Name, f)
		}
	}
	return nil
}
