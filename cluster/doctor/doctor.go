// Package doctor finds out what can be done to hosts, by doing it: to a chain of its own,
// a process of its own, a directory of its own, with a look whether it had its effect.
// What it makes it takes away again, also when a trial fails or is cut short.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ordeal-dev/ordeal/cluster/posix"
	"github.com/ordeal-dev/ordeal/cluster/remote"
	"github.com/ordeal-dev/ordeal/internal/crash"
	"github.com/ordeal-dev/ordeal/nemesis"
)

// Mechanism is something that can be tried on a host.
type Mechanism struct {
	Name string
	// For is what it is good for, Without what happens if it does not work.
	For, Without string
	// Needed: without it no test runs there.
	Needed bool
	// Package is the Debian package that brings it, if one does.
	Package string
	// brings is the file, of those of Programs, that the trial takes on the node.
	brings string
	// sends: it sends datagrams, for which the agent is brought where bash cannot.
	sends bool
	// chooses: its first word is not whether something works but by what.
	chooses bool
	// script tries it, with the name of what it may make as $1: it says what it has seen
	// and exits with 0, or says what is wrong. It cleans up after itself.
	script string
}

// Finding is what came of trying a mechanism on a node.
type Finding struct {
	Node nemesis.Node
	OK   bool
	// Choice is by what it works, where there is more than one way.
	Choice string
	// Detail is what was seen, or why it does not work.
	Detail string
	// untried: nobody knows, because the node could not be worked on.
	untried bool
}

// ErrRefused says that a host does not allow what was tried on it.
var ErrRefused = errors.New("it does not work")

// Row is a mechanism with its findings, in the order of the nodes.
type Row struct {
	Mechanism
	Findings []Finding
}

// Report is what a doctor has found.
type Report struct {
	Nodes []nemesis.Node
	Rows  []Row
}

// OK reports whether all that is needed works on all nodes.
func (r Report) OK() bool {
	return !slices.ContainsFunc(r.Rows, func(row Row) bool {
		return row.Needed && slices.ContainsFunc(row.Findings, Finding.bad)
	})
}

func (f Finding) bad() bool { return !f.OK }

// notReached is the detail of everything on a node that cannot be logged in to.
const notReached = "not tried: the node was not reached"

const (
	// bringTime bounds the upload of a program to a node: on a busy machine or over a slow
	// line that takes long, and says nothing about what the host allows.
	bringTime = 3 * time.Minute
	// trialTime bounds one trial on one node, sweepTime what is done afterwards.
	trialTime = 45 * time.Second
	sweepTime = 20 * time.Second
)

// Examine tries every mechanism on every node, all nodes at the same time. An error says
// that something may be left behind; the report is whole all the same.
func Examine(
	ctx context.Context, sh remote.Shell, hosts []remote.Host, programs Programs,
) (Report, error) {
	// A name as no other doctor's.
	name := "ORDEAL-DOC-" + posix.NewLeash(0).ID
	trials := mechanisms()
	r := Report{Rows: make([]Row, len(trials))}
	for i, m := range trials {
		r.Rows[i] = Row{Mechanism: m, Findings: make([]Finding, len(hosts))}
	}
	errs := make([]error, len(hosts))
	var wg sync.WaitGroup
	for at, h := range hosts {
		r.Nodes = append(r.Nodes, h.Node)
		wg.Go(crash.Guard(func() {
			p := patient{sh: sh, host: h, hosts: hosts, name: name, programs: programs}
			reached := true
			for i, m := range trials {
				f := Finding{Node: h.Node, Detail: notReached}
				if reached {
					f = p.try(ctx, m)
				}
				if i == 0 {
					reached = f.OK
				}
				r.Rows[i].Findings[at] = f
			}
			if reached {
				errs[at] = p.sweep(ctx)
			}
		}))
	}
	wg.Wait()
	return r, errors.Join(errs...)
}

// Try tries mechanisms on all nodes, in their order, up to the first that does not work on
// each. It names that, and says on which nodes it does not work, and why: with ErrRefused
// if it was the host that said so.
func Try(
	ctx context.Context, sh remote.Shell, hosts []remote.Host, programs Programs, names ...string,
) (failed string, _ error) {
	var trials []Mechanism
	for _, want := range names {
		i := slices.IndexFunc(mechanisms(), func(m Mechanism) bool { return m.Name == want })
		if i < 0 {
			return want, fmt.Errorf("doctor: there is no mechanism %q", want)
		}
		trials = append(trials, mechanisms()[i])
	}
	name := "ORDEAL-DOC-" + posix.NewLeash(0).ID
	all := make([]*patient, len(hosts))
	for i, h := range hosts {
		all[i] = &patient{sh: sh, host: h, hosts: hosts, name: name, programs: programs}
	}
	var err error
	for _, m := range trials {
		if err = together(all, func(p *patient) error { return p.must(ctx, m) }); err != nil {
			failed = m.Name
			break
		}
	}
	return failed, errors.Join(err, together(all, func(p *patient) error { return p.sweep(ctx) }))
}

// together does something to all at the same time.
func together(all []*patient, do func(*patient) error) error {
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, p := range all {
		wg.Go(crash.Guard(func() { errs[i] = do(p) }))
	}
	wg.Wait()
	return errors.Join(errs...)
}

// patient is a node that is examined.
type patient struct {
	sh       remote.Shell
	host     remote.Host
	hosts    []remote.Host
	name     string
	programs Programs
	// brought are the files that are there.
	brought map[string]bool
	// bash is whether it can send datagrams, nil as long as nobody knows.
	bash *bool
}

// Programs are brought to the nodes to be tried there; what needs one that is nil does not
// work. Target is that of the nodes of the reference cluster, Agent this program.
type Programs struct {
	Target, Agent []byte
}

const (
	targetFile = "target"
	agentFile  = "checker"
)

// bring uploads a program, once.
func (p *patient) bring(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, bringTime)
	defer cancel()
	content := map[string][]byte{targetFile: p.programs.Target, agentFile: p.programs.Agent}[name]
	if name == "" || p.brought[name] {
		return nil
	}
	if content == nil {
		return errors.New("the program was not found on this machine")
	}
	file := remote.File{Path: p.directory() + "/" + name, Content: content, Mode: 0o755}
	if err := p.sh.Upload(ctx, p.host.Node, file); err != nil {
		return err
	}
	if p.brought == nil {
		p.brought = map[string]bool{}
	}
	p.brought[name] = true
	return nil
}

// bringSender uploads the agent if the node's bash cannot send datagrams.
func (p *patient) bringSender(ctx context.Context) error {
	if p.bash == nil {
		ctx, cancel := context.WithTimeout(ctx, trialTime)
		defer cancel()
		r, err := p.sh.Run(ctx, p.host.Node, remote.Command{
			Argv: []string{"sh", "-c", remote.BashSends() + "bash_sends >&2"},
		})
		if err != nil {
			return err
		}
		can := r.Status == 0
		if p.bash = &can; !can && p.programs.Agent == nil {
			p.bash = nil
			return fmt.Errorf("%s, and there is no agent", words(r.Stderr))
		}
	}
	if *p.bash {
		return nil
	}
	return p.bring(ctx, agentFile)
}

// words puts what was printed into one line.
func words(said []byte) string { return strings.Join(strings.Fields(string(said)), " ") }

// must tries one mechanism and says why it does not work.
func (p *patient) must(ctx context.Context, m Mechanism) error {
	switch f := p.try(ctx, m); {
	case f.untried:
		return fmt.Errorf("node %s: %s", f.Node, f.Detail)
	case !f.OK:
		return fmt.Errorf("node %s: %w: %s", f.Node, ErrRefused, f.Detail)
	}
	return nil
}

// try tries one mechanism.
func (p *patient) try(ctx context.Context, m Mechanism) Finding {
	f := Finding{Node: p.host.Node}
	err := p.bring(ctx, m.brings)
	if err == nil && m.sends {
		err = p.bringSender(ctx)
	}
	if err != nil {
		f.Detail, f.untried = err.Error(), true
		return f
	}
	ctx, cancel := context.WithTimeout(ctx, trialTime)
	defer cancel()
	argv := []string{"sh", "-c", m.whole(), "doctor", p.name, p.directory()}
	for _, h := range p.hosts {
		if h.Node == p.host.Node {
			continue
		}
		for _, a := range h.Addrs {
			argv = append(argv, fmt.Sprintf("%s=%s", h.Node, a))
		}
	}
	r, err := p.sh.Run(ctx, p.host.Node, remote.Command{Argv: argv})
	if err != nil {
		f.Detail, f.untried = err.Error(), true
		return f
	}
	f.OK = r.Status == 0
	said := r.Stdout
	if !f.OK {
		said = append(r.Stderr, r.Stdout...)
	}
	f.Detail = words(said)
	if f.OK && m.chooses {
		f.Choice, f.Detail, _ = strings.Cut(f.Detail, " ")
	}
	if !f.OK && f.Detail == "" {
		f.Detail = fmt.Sprintf("exit status %d", r.Status)
	}
	return f
}

// directory is on the node; nodes may share their files.
func (p patient) directory() string {
	return fmt.Sprintf("/tmp/%s-%s", strings.ToLower(p.name), p.host.Node)
}

// sweep takes away what a trial that was cut short may have left, whatever became of the
// caller's context.
func (p patient) sweep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sweepTime)
	defer cancel()
	_, err := remote.Must(ctx, p.sh, p.host.Node, remote.Command{
		Argv: []string{"sh", "-c", sweepScript, "sweep", p.name, p.directory()},
	})
	if err != nil {
		return fmt.Errorf("doctor: chains named %s, or %s, may be left: %w", p.name, p.directory(), err)
	}
	return nil
}
