// Package run conducts one test from its first phase to its last: it sets a
// cluster up, drives and hurts it, heals it, reads what is left, and only then
// judges what was recorded. Collecting, checking and reporting are separate:
// what is on disk in the run's directory is enough to judge it again.
package run

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/cluster/local"
	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/nemesis"
	"github.com/ordeal-dev/ordeal/systems"
	"github.com/ordeal-dev/ordeal/workload"
)

// Config is one test. It is stored in test.json, so that the test can be run
// again.
type Config struct {
	// Store is the directory of all runs.
	Store string `json:"-"`
	// Workload is a name of workload.All.
	Workload string `json:"workload"`
	// System, Protocol and Bug choose the system under test.
	System string `json:"system"`
	// Declaration is the text of the system's declaration, if System is its path.
	Declaration string `json:"declaration,omitempty"`
	// Settings are what was chosen about a system that is declared, by a user or by name.
	Settings map[string]string `json:"settings,omitempty"`
	Protocol string            `json:"protocol,omitempty"`
	Bug      string            `json:"bug,omitempty"`
	// Target is the program of a node; empty means to find or build it.
	Target string `json:"target,omitempty"`
	// Bin is the program of a node of Maelstrom.
	Bin string `json:"bin,omitempty"`
	// Cluster says how nodes are run: a name of Clusters.
	Cluster string `json:"cluster"`
	// Nodes is the number of nodes, n1 to nN; with hosts their number.
	Nodes int `json:"nodes"`
	// Endpoints are nodes that run already, each "[name=]host:port".
	Endpoints []string `json:"endpoints,omitempty"`
	// Hosts are the hosts of nodes, each "name=[user@]address[:port]". NodesFile has one
	// in a line, "name [user@]address[:port] [key=…] [jump=…] …".
	Hosts     []string `json:"hosts,omitempty"`
	NodesFile string   `json:"nodes_file,omitempty"`
	// SSHKeys are files of private keys, KnownHosts files with the public keys of hosts;
	// none means those that OpenSSH would use.
	SSHKeys    []string `json:"ssh_keys,omitempty"`
	KnownHosts []string `json:"known_hosts,omitempty"`
	// SSHD has a daemon of OpenSSH on every node of cluster netns.
	SSHD bool `json:"sshd,omitempty"`
	// Project is the compose project of the nodes' containers; empty is the only one
	// that runs.
	Project string `json:"project,omitempty"`
	// Concurrency is the number of clients; client t talks to node t mod Nodes.
	Concurrency int `json:"concurrency"`
	// Seed decides operations, faults, targets and times.
	Seed uint64 `json:"seed"`
	// TimeLimit is how long the workload runs beside the nemesis.
	TimeLimit time.Duration `json:"time_limit"`
	// Rate is the number of operations a second of all clients together; 0 is as
	// fast as they go.
	Rate float64 `json:"rate"`
	// Rush has the clients as fast as they go whenever a fault begins or ends.
	Rush bool `json:"rush,omitempty"`
	// Keys is the number of keys in use at a time, OpsPerKey how many
	// operations a key gets before a fresh one takes its place. 0 is the
	// workload's default.
	Keys      int `json:"keys,omitempty"`
	OpsPerKey int `json:"ops_per_key,omitempty"`
	// TxnPause makes one interactive transaction in four rest for so long in its
	// midst.
	TxnPause time.Duration `json:"txn_pause,omitempty"`
	// Faults are families of faults, or "all", or "none".
	Faults []string `json:"faults"`
	// Interval is the mean time between the starts of two faults.
	Interval time.Duration `json:"interval"`
	// Noise makes the network a little bad all along, beside the faults.
	Noise bool `json:"noise,omitempty"`
	// Schedule is a file of fault steps that takes the place of a random one.
	Schedule string `json:"schedule,omitempty"`
	// Operations is a file of operations that take the place of those of the workload, as
	// shrinking writes it.
	Operations string `json:"operations,omitempty"`
	// OpTimeout is how long a client waits for an answer. RequestTimeout is how
	// long a node works on a request; it is the shorter one, so that a client
	// hears the node's own verdict.
	OpTimeout      time.Duration `json:"op_timeout"`
	RequestTimeout time.Duration `json:"request_timeout"`
	// BasePort makes the cluster use fixed ports from this one on, as many as
	// local.FixedPorts says; 0 takes any.
	BasePort int `json:"base_port,omitempty"`
	// CheckTime and CheckMemory (bytes) bound the checkers.
	CheckTime   time.Duration `json:"check_time"`
	CheckMemory int64         `json:"check_memory"`
	// Engine is what decides linearizability, one of check.Engines; empty is the
	// default.
	Engine string `json:"engine,omitempty"`
	// StopOnViolation ends the workload at the first violation that can be seen while it
	// runs.
	StopOnViolation bool `json:"stop_on_violation,omitempty"`
	// Watch tells of such a violation when it is seen, and lets the workload go on.
	Watch bool `json:"watch,omitempty"`
	// SetupTime, RecoveryTime and FinalTime bound these phases; the final reads may take a
	// tenth of TimeLimit where that is longer: what a longer test has written is more to read.
	SetupTime    time.Duration `json:"setup_time"`
	RecoveryTime time.Duration `json:"recovery_time"`
	FinalTime    time.Duration `json:"final_time"`
}

// Default is a test of the reference cluster's Multi-Paxos under all faults.
func Default() Config {
	return Config{
		Store:          "store",
		Workload:       "cas-register",
		System:         "reference",
		Protocol:       "paxos",
		Cluster:        "local",
		Nodes:          5,
		Concurrency:    15,
		TimeLimit:      time.Minute,
		Rate:           500,
		Faults:         []string{"all"},
		Interval:       5 * time.Second,
		OpTimeout:      800 * time.Millisecond,
		RequestTimeout: 300 * time.Millisecond,
		CheckTime:      2 * time.Minute,
		CheckMemory:    4 << 30,
		SetupTime:      30 * time.Second,
		RecoveryTime:   30 * time.Second,
		FinalTime:      30 * time.Second,
	}
}

// Validate lists every problem of the configuration at once.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	w, err := workload.Lookup(c.Workload)
	if err != nil {
		errs = append(errs, err)
	}
	sys, serr := systems.New(c.systemOptions(""))
	if serr != nil {
		errs = append(errs, serr)
	}
	if err == nil && serr == nil {
		if e := suits(sys, w); e != nil {
			bad("workload %s cannot run: %w", w.Name, e)
		}
		errs = append(errs, c.validateDeployment(sys))
	}
	if c.Nodes < 1 || c.Nodes > 9 {
		bad("nodes is %d: want 1 to 9", c.Nodes)
	}
	if c.Concurrency < 1 || c.Concurrency > 1000 {
		bad("concurrency is %d: want 1 to 1000", c.Concurrency)
	}
	if c.TimeLimit < time.Second {
		bad("time limit is %v: want at least 1s", c.TimeLimit)
	}
	if c.Interval <= 0 {
		bad("interval is %v: want more than 0s", c.Interval)
	}
	if c.TxnPause < 0 || c.TxnPause >= c.OpTimeout && c.OpTimeout > 0 {
		bad("transaction pause is %v: want at least 0s and less than the op timeout, %v",
			c.TxnPause, c.OpTimeout)
	}
	if c.Noise && c.Schedule != "" {
		bad("noise is a part of random schedules: want either it or a schedule, %s", c.Schedule)
	}
	if c.RequestTimeout <= 0 || c.OpTimeout <= c.RequestTimeout {
		bad("op timeout is %v and request timeout %v: want 0s < request timeout < op timeout",
			c.OpTimeout, c.RequestTimeout)
	}
	if n := local.FixedPorts(max(1, c.Nodes)); c.BasePort < 0 || c.BasePort+n > 65536 {
		bad("base port is %d: want 0 or room for %d ports below 65536 (with n nodes 3n for "+
			"clients, HTTP and peers, and n*n for the relays between nodes)", c.BasePort, n)
	}
	if c.Operations != "" {
		_, err := readScript(c.Operations)
		errs = append(errs, err)
	}
	errs = append(errs, c.validateCluster(), c.validateLimits(), c.validateWorkload())
	if errors.Join(errs...) == nil {
		errs = append(errs, c.validateSteps())
	}
	return errors.Join(errs...)
}

// suits says in a sentence why a workload says nothing about a system: it lacks the
// operations, or never claimed what they test.
func suits(sys systems.System, w workload.Workload) error {
	if err := sys.Supports(w.Object, w.Fs); err != nil {
		return err
	}
	if !slices.Contains(sys.Workloads(), w.Name) {
		return fmt.Errorf("it tests what %s does not claim, which is %q; what tests that is %s",
			sys.Name(), sys.Claim(), strings.Join(sys.Workloads(), ", "))
	}
	return nil
}

// ChooseWorkload takes the workload that the system under test suggests, if none was
// chosen.
func (c *Config) ChooseWorkload() error {
	if c.Workload != "" {
		return nil
	}
	suggested, err := c.Suggested()
	if err != nil {
		return err
	}
	c.Workload = suggested[0]
	return nil
}

// Suggested are the workloads that test what the system under test claims, at least one.
func (c Config) Suggested() ([]string, error) {
	sys, err := systems.New(c.systemOptions(""))
	if err != nil {
		return nil, err
	}
	if len(sys.Workloads()) == 0 {
		return nil, fmt.Errorf("%s suggests no workload: choose one", sys.Name())
	}
	return sys.Workloads(), nil
}

// validateLimits: a phase without time cannot succeed.
func (c Config) validateLimits() error {
	var errs []error
	for _, l := range []struct {
		name  string
		limit time.Duration
	}{
		{"check time", c.CheckTime}, {"set-up time", c.SetupTime},
		{"recovery time", c.RecoveryTime}, {"final time", c.FinalTime},
	} {
		if l.limit <= 0 {
			errs = append(errs, fmt.Errorf("%s is %v: want more than 0s", l.name, l.limit))
		}
	}
	if c.CheckMemory < 0 {
		errs = append(errs, fmt.Errorf("check memory is %d: want 0 (the standard) or more bytes",
			c.CheckMemory))
	}
	errs = append(errs, check.ValidateEngine(c.Engine))
	return errors.Join(errs...)
}

// validateWorkload asks the workload about its numbers; those that Validate has
// refused already are put right before.
func (c Config) validateWorkload() error {
	opts := c.workloadOptions()
	opts.Concurrency = min(max(1, opts.Concurrency), 1000)
	opts.Nodes = max(1, opts.Nodes)
	opts.TimeLimit = max(time.Second, opts.TimeLimit)
	return opts.Validate()
}

// validateSteps looks whether the faults can be planned and whom they hit exists.
func (c Config) validateSteps() error {
	steps, err := c.steps()
	if err != nil {
		return err
	}
	sys, err := systems.New(c.systemOptions(""))
	if err != nil {
		return err
	}
	var errs []error
	nodes := c.nodes()
	for _, s := range steps {
		err := errors.Join(s.PossibleWith(orders(sys)), s.PossibleOn(c.lacks()))
		if err != nil {
			errs = append(errs, fmt.Errorf("schedule: step %d: %w", s.ID, err))
		}
		for _, n := range slices.Concat(s.Nodes, s.Else) {
			if !slices.Contains(nodes, n) {
				errs = append(errs, fmt.Errorf("schedule: step %d: there is no node %q", s.ID, n))
			}
		}
	}
	return errors.Join(errs...)
}

// Name names the test and its directory in the store.
func (c Config) Name() string {
	name := filepath.Base(c.System)
	if systems.IsFile(name) {
		name = strings.TrimSuffix(name, filepath.Ext(name))
	}
	parts := []string{name}
	if c.Protocol != "" {
		parts = append(parts, c.Protocol)
	}
	parts = append(parts, c.Workload)
	if c.Bug != "" {
		parts = append(parts, c.Bug)
	}
	return strings.Join(parts, "-")
}

// Args is the command line of `checker test` that repeats the test.
func (c Config) Args() []string {
	d := Default()
	workload, protocol := c.said()
	args := []string{"test", "--workload", workload, "--system", c.System}
	add := func(flag string, value, standard any) {
		if value != standard {
			args = append(args, flag, fmt.Sprint(value))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Settings)) {
		args = append(args, "--set", name+"="+c.Settings[name])
	}
	add("--protocol", protocol, "")
	add("--bug", c.Bug, d.Bug)
	add("--target", c.Target, d.Target)
	add("--bin", c.Bin, d.Bin)
	if len(c.Endpoints) == 0 && c.System != systems.Maelstrom {
		add("--cluster", c.Cluster, d.Cluster)
	}
	switch {
	case len(c.Endpoints) > 0:
		args = append(args, "--nodes", strings.Join(c.Endpoints, ","))
	case systems.IsDeclared(c.System):
		add("--nodes", c.Nodes, 0) // the declaration has a number of its own
	case len(c.knownNodes()) == 0:
		add("--nodes", c.Nodes, d.Nodes)
	}
	add("--hosts", strings.Join(c.Hosts, ","), "")
	add("--nodes-file", c.NodesFile, d.NodesFile)
	add("--ssh-key", strings.Join(c.SSHKeys, ","), "")
	add("--known-hosts", strings.Join(c.KnownHosts, ","), "")
	if c.SSHD {
		args = append(args, "--sshd")
	}
	add("--project", c.Project, d.Project)
	add("--concurrency", c.Concurrency, d.Concurrency)
	add("--time-limit", c.TimeLimit, d.TimeLimit)
	add("--rate", c.Rate, d.Rate)
	if c.Rush {
		args = append(args, "--rush")
	}
	add("--keys", c.Keys, d.Keys)
	add("--ops-per-key", c.OpsPerKey, d.OpsPerKey)
	if !slices.Equal(c.Faults, d.Faults) {
		args = append(args, "--faults", strings.Join(c.Faults, ","))
	}
	add("--interval", c.Interval, d.Interval)
	if c.Noise {
		args = append(args, "--noise")
	}
	add("--txn-pause", c.TxnPause, d.TxnPause)
	add("--schedule", c.Schedule, d.Schedule)
	add("--operations", c.Operations, d.Operations)
	add("--op-timeout", c.OpTimeout, d.OpTimeout)
	add("--request-timeout", c.RequestTimeout, d.RequestTimeout)
	add("--base-port", c.BasePort, d.BasePort)
	add("--check-time", c.CheckTime, d.CheckTime)
	add("--check-memory", c.CheckMemory>>20, d.CheckMemory>>20)
	add("--engine", c.Engine, d.Engine)
	if c.StopOnViolation {
		args = append(args, "--stop-on-violation")
	}
	if c.Watch {
		args = append(args, "--watch")
	}
	return append(args, "--seed", fmt.Sprint(c.Seed))
}

// commandLine writes the arguments so that a shell reads them back.
func commandLine(args []string) string {
	words := []string{"checker"}
	for _, a := range args {
		if a == "" || strings.ContainsFunc(a, special) {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		words = append(words, a)
	}
	return strings.Join(words, " ")
}

// special reports whether a character may mean something to a shell.
func special(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-_=+,./:@%", r)
}

func (c Config) systemOptions(binary string) systems.Options {
	return systems.Options{
		System: c.System, Declaration: c.Declaration, Settings: c.Settings,
		Protocol: c.Protocol, Bug: c.Bug, Faults: c.Faults,
		Binary: c.binary(binary), RequestTimeout: c.RequestTimeout.String(), TxnPause: c.TxnPause,
	}
}

// CountHosts takes the number of nodes from the hosts or endpoints, if there are any.
func (c *Config) CountHosts() error {
	if len(c.Endpoints) > 0 {
		if c.Cluster != existing && c.Cluster != Default().Cluster {
			return fmt.Errorf("--cluster %s starts nodes of its own: leave it out, or name no nodes that "+
				"run already (--nodes %s)", c.Cluster, strings.Join(c.Endpoints, ","))
		}
		c.Cluster, c.Nodes = existing, len(c.Endpoints)
	}
	hosts, err := c.nodeHosts()
	if err == nil && len(hosts) > 0 {
		c.Nodes = len(hosts)
	}
	return err
}

func (c Config) nodes() []nemesis.Node {
	if nodes := c.knownNodes(); len(nodes) > 0 {
		return nodes
	}
	nodes := make([]nemesis.Node, c.Nodes)
	for i := range nodes {
		nodes[i] = nemesis.Node(fmt.Sprintf("n%d", i+1))
	}
	return nodes
}

func (c Config) workloadOptions() workload.Options {
	return workload.Options{
		Concurrency: c.Concurrency,
		Nodes:       c.Nodes,
		Seed:        c.Seed,
		TimeLimit:   c.TimeLimit,
		Rate:        c.Rate,
		Keys:        c.Keys,
		OpsPerKey:   c.OpsPerKey,
		// The run's own limit comes first, always: it leaves a note.
		FinalLimit: 2 * max(0, c.finalTime()),
		Rest:       c.TxnPause,
		Foreign:    !c.starts(),
		// What somebody waits for may be in the way of others.
		AvailabilityGrace: usualGrace + c.patience(),
		Settle:            usualGrace + c.patience(),
	}
}

// usualGrace is how long a system may take to work again under time limits of usual length.
const usualGrace = 5 * time.Second

// patience is how much longer nodes work on a request than is usual.
func (c Config) patience() time.Duration {
	return max(0, c.RequestTimeout-time.Second)
}

// watchesAvailability reports whether a lack of progress can be held against the
// system: it has to promise progress, and every majority has to have a client that
// would see it.
func (c Config) watchesAvailability(sys systems.System) bool {
	return sys.Available() && c.Concurrency >= c.Nodes
}

// Versions says what ran.
type Versions struct {
	Checker string `json:"checker"`
	Target  string `json:"target,omitempty"`
	Go      string `json:"go"`
	OS      string `json:"os"`
}

func versions(checker, target string) Versions {
	return Versions{
		Checker: checker, Target: target,
		Go: runtime.Version(), OS: runtime.GOOS + "/" + runtime.GOARCH,
	}
}

// seconds prints a history time as people say it.
func seconds(t history.Time) string {
	return fmt.Sprintf("%.1f s", time.Duration(t).Seconds())
}
