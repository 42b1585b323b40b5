// Package script drives a cluster of protocol machines by hand: a datadriven
// file says who is asked what, which messages arrive and which are lost, who
// loses power, and shows what the nodes do. So a rule of a protocol, or the one
// schedule on which a planted bug depends, can be read step by step.
//
// Messages wait in the network until the script delivers or loses them, and time
// passes when it says so. Protocols add commands of their own.
package script

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// Options say what the scripts drive.
type Options struct {
	// Protocol is the name under which bugs are planted, unless the command cluster
	// has another as its mode.
	Protocol string
	// New makes a machine.
	New func(protocol.Config, Settings) (protocol.Machine, error)
	// Object is what submit asks for when the script does not say; empty: the script
	// says it each time, as the first word of the request.
	Object string
	// Request, if not nil, has the last word on what is submitted.
	Request func(*protocol.Request)
	// Describe prints a payload, its kind as the first word.
	Describe func([]byte) string
	// Record prints a record of a machine.
	Record func(protocol.Machine, []byte) string
	// Checkpoint prints a checkpoint of a machine; default: what Disk says of it.
	Checkpoint func(protocol.Machine, []byte) string
	// Disk prints all that a node holds durably. It may be nil if there is Checkpoint,
	// and no script that wants to see disks.
	Disk func(checkpoint []byte, records [][]byte) string
	// Noise, if not nil, are messages that are lost at once and not shown, unless the
	// cluster has the setting pings.
	Noise func(payload []byte) bool
	// Met lets a new cluster do what it wants to do, unseen, unless it has the setting
	// fresh.
	Met bool
	// Tokens shows the tokens of replies.
	Tokens bool
	// Wall is the time of day at which scripts begin.
	Wall protocol.WallTime
	// Commands are the protocol's own.
	Commands map[string]func(*Script, *datadriven.TestData)
}

// Settings are the arguments of the command cluster that scripts know nothing of,
// such as every=3 or leases.
type Settings map[string]string

// Has reports whether a setting is there.
func (s Settings) Has(name string) bool {
	_, has := s[name]
	return has
}

// Int returns a setting, or otherwise if it is not there.
func (s Settings) Int(name string, otherwise int) int {
	n, err := strconv.Atoi(s[name])
	if err != nil {
		return otherwise
	}
	return n
}

// Run runs every testdata/*.txt as a subtest.
func Run(t *testing.T, o Options) {
	t.Helper()
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no scripts (%v)", err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			s := &Script{opts: o}
			datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
				s.t = t
				s.out.Reset()
				s.run(d)
				if s.out.Len() == 0 {
					return "ok\n"
				}
				return s.out.String()
			})
		})
	}
}

// EveryBug checks that each bug that can be planted in a protocol is shown by a script.
func EveryBug(t *testing.T, protocol string) {
	t.Helper()
	paths, err := filepath.Glob("testdata/bug_*.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	for _, info := range bug.All() {
		if slices.Contains(info.Protocols, protocol) &&
			!strings.Contains(all.String(), "bug="+string(info.ID)+"\n") {
			t.Errorf("no script shows %s", info.ID)
		}
	}
}

// Script is a cluster that a script drives.
type Script struct {
	t        *testing.T
	opts     Options
	out      strings.Builder
	quiet    bool // show replies only
	members  []protocol.NodeID
	bugs     bug.Set
	timeout  time.Duration
	settings Settings
	now      protocol.Time
	nodes    map[protocol.NodeID]*node
	net      []protocol.Message
	saved    []protocol.Message
	cut      []string
	losing   int        // percent
	dice     *rand.Rand // for what is lost
	last     protocol.RequestID
	tokens   map[protocol.RequestID]string
}

type node struct {
	machine protocol.Machine // nil while it is down
	// now is the node's clock, ppm how much faster than the script's it runs; wall
	// is how far its time of day is ahead.
	now     protocol.Time
	ppm     int
	wall    time.Duration
	epoch   protocol.Epoch
	ckpt    []byte
	records [][]byte
	damaged bool
}

// Printf adds a line to what the script shows.
func (s *Script) Printf(format string, args ...any) { fmt.Fprintf(&s.out, format+"\n", args...) }

// Machine returns the machine of a node, nil while it is down.
func (s *Script) Machine(id protocol.NodeID) protocol.Machine { return s.nodes[id].machine }

// Tell tells a node the time.
func (s *Script) Tell(id protocol.NodeID) { s.at(id).Tick(s.nodes[id].now) }

// Named are the nodes that a command names, all if it names none.
func (s *Script) Named(d *datadriven.TestData) []protocol.NodeID {
	var ids []protocol.NodeID
	for _, a := range d.CmdArgs {
		if id := protocol.NodeID(a.Key); slices.Contains(s.members, id) {
			ids = append(ids, id)
		}
	}
	if ids == nil {
		return s.members
	}
	return ids
}

func (s *Script) run(d *datadriven.TestData) {
	s.quiet = d.HasArg("quiet")
	if do := s.opts.Commands[d.Cmd]; do != nil {
		do(s, d)
		return
	}
	switch d.Cmd {
	case "cluster":
		// Starts a new cluster, with a planted bug if one is named.
		// Example: cluster nodes=3 bug=px-adopt-own-value timeout=1s
		s.cluster(d)
	case "submit":
		// Hands a request to a node, or as many of them. The reply shows up in its next
		// Ready. Example: submit n1 write k 7
		// Example: submit n2 read k object=log token=r3
		// Example: submit n2 list append l 5 in=3 seq=1 times=20
		s.submit(d)
	case "ready":
		// Carries out the Readies of nodes: records become durable, messages go
		// to the network, replies are printed.
		// Example: ready n1 n2
		for _, id := range s.Named(d) {
			s.ready(id)
		}
	case "stabilize":
		// Carries out Readies and delivers messages until nothing is left to do;
		// only between the nodes named, if any are.
		// Example: stabilize n1 n2 quiet
		s.stabilize(s.Named(d))
	case "settle":
		// Like stabilize, and lets time go by, a millisecond at a time, until
		// nothing has happened for five of them.
		// Example: settle n1 n2
		s.settle(s.Named(d))
	case "tick":
		// Lets time go by and tells the nodes.
		// Example: tick 75ms n1
		s.pass(protocol.Time(s.duration(d, d.CmdArgs[0].Key)), s.Named(d))
	case "run":
		// Lets time go by in steps of 25 ms, or so many, each with a
		// stabilize, between the nodes named; what goes to others is lost, and
		// what goes over links that are cut, in both directions, in one, or for
		// one kind of message, and so many percent of the rest.
		// Example: run 2s n1 n2 n3 cut=(n1-n2,n3>n1,n1>n3:accept) quiet
		// Example: run 2s step=5 lose=20 quiet
		s.runFor(d)
	default:
		if !s.runNetwork(d) && !s.runNode(d) {
			d.Fatalf(s.t, "unknown command %s", d.Cmd)
		}
	}
}

// runNetwork runs the commands about messages that wait.
func (s *Script) runNetwork(d *datadriven.TestData) bool {
	switch d.Cmd {
	case "deliver":
		// Delivers the messages that match, in their order or, if asked, the last
		// one first; with keep they stay there to come again; with first only the first
		// one. Example: deliver from=n1 to=(n2,n3) kind=store keep reverse
		s.deliver(d)
	case "save":
		// Puts copies of the messages that match aside.
		s.saved = s.take(d)
		s.net = append(slices.Clone(s.saved), s.net...)
	case "replay":
		// Delivers the messages that were put aside.
		for _, m := range s.saved {
			s.Printf("again %s", s.show(m))
			s.step(m)
		}
	case "lose":
		// Loses the messages that match.
		// Example: lose to=n3
		for _, m := range s.take(d) {
			s.Printf("lost %s", s.show(m))
		}
	case "network": // Shows what is under way.
		for _, m := range s.net {
			s.Printf("%s", s.show(m))
		}
	case "inject":
		// Puts a datagram into the network that nobody of the cluster sent.
		// Example: inject from=n2 to=n1 payload=0xff
		s.inject(d)
	default:
		return false
	}
	return true
}

// runNode runs the commands about nodes alone.
func (s *Script) runNode(d *datadriven.TestData) bool {
	for _, id := range s.Named(d) {
		n := s.nodes[id]
		switch d.Cmd {
		case "crash": // Cuts the power of nodes, before what they want done is done.
			n.machine = nil
		case "start": // Starts nodes again, in a new epoch, from their disks.
			s.start(id)
		case "damage":
			// Takes all but the first so many records from the disk of a node that is
			// down, which finds that out at its start.
			// Example: damage n2 keep=1
			keep := 0
			d.MaybeScanArgs(s.t, "keep", &keep)
			n.records, n.damaged = n.records[:keep], true
		case "wipe": // Empties the disks of nodes that are down.
			n.ckpt, n.records = nil, nil
		case "disk": // Shows what is durable at each node.
			s.Printf("%s", strings.TrimSpace(fmt.Sprintf("%s: %s", id, s.opts.Disk(n.ckpt, n.records))))
		case "clock":
			// Lets the clocks of nodes run faster by so many parts per million from
			// now on, or sets their time of day ahead.
			// Example: clock n1 ppm=-50000 wall=-3s
			d.MaybeScanArgs(s.t, "ppm", &n.ppm)
			var ahead string
			if d.MaybeScanArgs(s.t, "wall", &ahead); ahead != "" {
				n.wall = s.duration(d, ahead)
			}
		default:
			return false
		}
	}
	return true
}

func (s *Script) duration(d *datadriven.TestData, text string) time.Duration {
	by, err := time.ParseDuration(text)
	if err != nil {
		d.Fatalf(s.t, "%v", err)
	}
	return by
}

func (s *Script) cluster(d *datadriven.TestData) {
	nodes, planted, timeout, mode := 3, "", "1s", s.opts.Protocol
	*s = Script{
		t: s.t, opts: s.opts, nodes: map[protocol.NodeID]*node{}, settings: Settings{},
		tokens: map[protocol.RequestID]string{}, dice: rand.New(rand.NewPCG(1, 2)),
	}
	for _, a := range d.CmdArgs {
		switch a.Key {
		case "nodes":
			a.Scan(s.t, 0, &nodes)
		case "bug":
			a.Scan(s.t, 0, &planted)
		case "timeout":
			a.Scan(s.t, 0, &timeout)
		default:
			s.settings[a.Key] = strings.Join(a.Vals, ",")
		}
	}
	if s.settings.Has("mode") {
		mode = s.settings["mode"]
	}
	s.timeout = s.duration(d, timeout)
	var err error
	if s.bugs, err = bug.Parse(planted, mode); err != nil {
		d.Fatalf(s.t, "%v", err)
	}
	for i := range nodes {
		s.members = append(s.members, protocol.NodeID(fmt.Sprintf("n%d", i+1)))
	}
	for _, id := range s.members {
		s.nodes[id] = &node{}
		s.start(id)
	}
	if s.opts.Met && !s.settings.Has("fresh") {
		s.stabilize(s.members)
		s.out.Reset()
	}
}

func (s *Script) start(id protocol.NodeID) {
	n := s.nodes[id]
	n.epoch++
	m, err := s.opts.New(protocol.Config{
		Self: id, Members: s.members, Epoch: n.epoch, Bugs: s.bugs,
		Seed:           uint64(slices.Index(s.members, id)),
		RequestTimeout: protocol.Time(s.timeout), Checkpoint: n.ckpt, Records: n.records,
		Damaged: n.damaged && !s.bugs.Has(bug.TruncateMiddle),
	}, s.settings)
	if err != nil {
		s.t.Fatal(err)
	}
	n.machine = m
	s.Tell(id)
}

// at returns the machine of a node, which knows the time of day.
func (s *Script) at(id protocol.NodeID) protocol.Machine {
	n := s.nodes[id]
	if m, ok := n.machine.(protocol.WallClocked); ok {
		m.SetWall(s.opts.Wall + protocol.WallTime(int64(s.now)+int64(n.wall)))
	}
	return n.machine
}

func (s *Script) submit(d *datadriven.TestData) {
	t := s.t
	r := protocol.Request{Object: s.opts.Object}
	words := words(d)
	into := []*string{nil, &r.F, &r.Key, &r.Value}
	if s.opts.Object == "" {
		into = slices.Insert(into, 1, &r.Object)
	}
	for i, to := range into {
		if i > 0 && i < len(words) {
			*to = words[i]
		}
	}
	session, seq, big, times := 0, 0, 0, 1
	d.MaybeScanArgs(t, "object", &r.Object)
	d.MaybeScanArgs(t, "in", &session)
	d.MaybeScanArgs(t, "seq", &seq)
	d.MaybeScanArgs(t, "times", &times)
	d.MaybeScanArgs(t, "big", &big)
	d.MaybeScanArgs(t, "token", &r.Token)
	r.Session, r.Seq = uint64(session), uint64(seq)
	if big > 0 {
		r.Value = `"` + strings.Repeat("x", big) + `"`
	}
	if n, err := strconv.ParseUint(strings.TrimPrefix(r.Token, "r"), 10, 64); err == nil &&
		strings.HasPrefix(r.Token, "r") {
		r.Token = s.tokens[protocol.RequestID(n)] // that of an earlier reply
	}
	if s.opts.Request != nil {
		s.opts.Request(&r)
	}
	id := protocol.NodeID(words[0])
	for i := range times {
		s.last++
		r.ID = s.last
		d.MaybeScanArgs(t, "id", &r.ID)
		if i == 0 || i == times-1 {
			s.Printf("r%d", r.ID)
		}
		s.at(id).Submit(s.nodes[id].now, r)
	}
}

// words are the arguments of a command that have no value.
func words(d *datadriven.TestData) []string {
	var words []string
	for _, a := range d.CmdArgs {
		if len(a.Vals) == 0 {
			words = append(words, a.Key)
		}
	}
	return words
}

// ready carries out what a node wants done, and reports whether there was anything.
// With bug.NoFsync its records are written and lost in the next crash: that bug is
// the driver's.
func (s *Script) ready(id protocol.NodeID) bool {
	n := s.nodes[id]
	if n.machine == nil {
		return false
	}
	r := n.machine.Ready()
	if r.Empty() {
		return false
	}
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	if r.Checkpoint != nil {
		n.ckpt, n.records = r.Checkpoint, nil
		if s.opts.Checkpoint != nil {
			add("checkpoint: %s", s.opts.Checkpoint(n.machine, r.Checkpoint))
		} else {
			add("%s", strings.TrimSpace("checkpoint: "+s.opts.Disk(r.Checkpoint, nil)))
		}
	}
	for _, rec := range r.Records {
		how := "durable"
		if s.bugs.Has(bug.NoFsync) {
			how = "written, not synced"
		} else {
			n.records = append(n.records, rec)
		}
		add("%s: %s", how, short(s.opts.Record(n.machine, rec)))
	}
	if r.Repaired {
		n.damaged = false
		add("repaired")
	}
	for _, m := range r.Messages {
		if s.opts.Noise != nil && s.opts.Noise(m.Payload) && !s.settings.Has("pings") {
			continue
		}
		s.net = append(s.net, m)
		add("%s", s.show(m))
	}
	if s.quiet {
		lines = nil
	}
	for _, rep := range r.Replies {
		s.tokens[rep.ID] = rep.Token
		add("%s", s.reply(rep))
	}
	if len(lines) > 0 {
		s.Printf("%s:\n  %s", id, strings.Join(lines, "\n  "))
	}
	return true
}

func (s *Script) reply(rep protocol.Reply) string {
	text := fmt.Sprintf("reply r%d %s %.100s %s", rep.ID, rep.Outcome, rep.Value, rep.Code)
	if s.opts.Tokens && rep.Token != "" {
		text += " token=" + rep.Token
	}
	return strings.Join(strings.Fields(text), " ")
}

func (s *Script) show(m protocol.Message) string {
	return fmt.Sprintf("%s->%s %s", m.From, m.To, short(s.opts.Describe(m.Payload)))
}

func short(text string) string {
	const most = 150
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}

func (s *Script) kind(m protocol.Message) string {
	kind, _, _ := strings.Cut(s.opts.Describe(m.Payload), " ")
	return kind
}

// take removes the messages that match from the network.
func (s *Script) take(d *datadriven.TestData) []protocol.Message {
	in := func(key, val string) bool {
		for _, a := range d.CmdArgs {
			if a.Key == key && !slices.Contains(a.Vals, val) {
				return false
			}
		}
		return true
	}
	var taken, left []protocol.Message
	for _, m := range s.net {
		if in("from", string(m.From)) && in("to", string(m.To)) && in("kind", s.kind(m)) {
			taken = append(taken, m)
		} else {
			left = append(left, m)
		}
	}
	s.net = left
	return taken
}

func (s *Script) deliver(d *datadriven.TestData) {
	ms := s.take(d)
	if d.HasArg("first") && len(ms) > 0 {
		s.net = append(s.net, ms[1:]...)
		ms = ms[:1]
	}
	if d.HasArg("keep") {
		s.net = append(slices.Clone(ms), s.net...)
	}
	if d.HasArg("reverse") {
		slices.Reverse(ms)
	}
	for _, m := range ms {
		s.step(m)
	}
}

func (s *Script) step(m protocol.Message) {
	if n := s.nodes[m.To]; n.machine != nil {
		s.at(m.To).Step(n.now, m)
	}
}

// stabilize reports whether anything happened.
func (s *Script) stabilize(ids []protocol.NodeID) (any bool) {
	within := func(m protocol.Message) bool {
		return slices.Contains(ids, m.From) && slices.Contains(ids, m.To)
	}
	for busy := true; busy; {
		busy = false
		for _, id := range ids {
			busy = s.ready(id) || busy
		}
		ms := slices.Clone(s.net)
		s.net = slices.DeleteFunc(s.net, within)
		for _, m := range ms {
			if within(m) && !s.isCut(m) && s.dice.IntN(100) >= s.losing {
				s.step(m)
				busy = true
			}
		}
		any = any || busy
	}
	return any
}

func (s *Script) settle(ids []protocol.NodeID) {
	for idle := 0; idle < 5; idle++ {
		if s.stabilize(ids) {
			idle = 0
		}
		s.pass(protocol.Time(time.Millisecond), ids)
	}
}

// pass lets time go by for all, and tells some.
func (s *Script) pass(by protocol.Time, ids []protocol.NodeID) {
	s.now += by
	for _, n := range s.nodes {
		n.now += by + by*protocol.Time(n.ppm)/1_000_000
	}
	for _, id := range ids {
		if s.nodes[id].machine != nil {
			s.Tell(id)
		}
	}
}

func (s *Script) runFor(d *datadriven.TestData) {
	by := protocol.Time(s.duration(d, d.CmdArgs[0].Key))
	ids := s.Named(d)
	kept := s.net
	s.net = nil
	step := 25
	d.MaybeScanArgs(s.t, "step", &step)
	d.MaybeScanArgs(s.t, "lose", &s.losing)
	for _, a := range d.CmdArgs {
		if a.Key == "cut" {
			s.cut = a.Vals
		}
	}
	for end := s.now + by; s.now < end; {
		s.pass(protocol.Time(step)*protocol.Time(time.Millisecond), ids)
		s.stabilize(ids)
		s.net = nil
	}
	s.net, s.cut, s.losing = kept, nil, 0
}

// isCut reports whether the message goes over a link that is cut.
func (s *Script) isCut(m protocol.Message) bool {
	return slices.ContainsFunc(s.cut, func(link string) bool {
		a, b := string(m.From), string(m.To)
		link, kind, some := strings.Cut(link, ":")
		if some && s.kind(m) != kind {
			return false
		}
		return link == a+">"+b || link == a+"-"+b || link == b+"-"+a
	})
}

func (s *Script) inject(d *datadriven.TestData) {
	var from, to, text string
	d.ScanArgs(s.t, "from", &from)
	d.ScanArgs(s.t, "to", &to)
	d.ScanArgs(s.t, "payload", &text)
	var payload []byte
	if _, err := fmt.Sscanf(text, "0x%x", &payload); err != nil {
		d.Fatalf(s.t, "%v", err)
	}
	m := protocol.Message{From: protocol.NodeID(from), To: protocol.NodeID(to), Payload: payload}
	s.net = append(s.net, m)
	s.Printf("%s", s.show(m))
}
