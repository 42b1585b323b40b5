package main

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/internal/crash"
	"github.com/ordeal-dev/ordeal/run"
	"github.com/ordeal-dev/ordeal/systems"
	"github.com/ordeal-dev/ordeal/systems/operation"
)

// testFlags are the flags of `checker test` that do not go into a Config as they
// are.
type testFlags struct {
	cfg      run.Config
	seed     uint64
	memoryMB int64
	verbose  bool
	leash    bool
}

func newTest(stop interrupts, std streams) *cobra.Command {
	f := testFlags{cfg: run.Default()}
	cmd := &cobra.Command{
		Use:   "test",
		Short: "Run one test: set up, drive, hurt, heal, check, report",
		Long: `Test runs a cluster of the system under test, drives it with concurrent clients
while faults are injected, heals everything, reads what is left, and judges the
recorded history. The report's path is printed at the end.

Ctrl-C ends the workload at any moment: what was injected is healed, and what was
recorded is checked and reported. A second Ctrl-C cuts that short.

Names of workloads, faults, systems and planted bugs: checker list.`,
		Example: `  checker test --workload cas-register --protocol paxos --faults all
  checker test --workload register --protocol quorum --faults partition,kill
  checker test --protocol paxos --faults all,clock,disk
  checker test --protocol paxos --bug mp-read-local-leader --time-limit 3m
  checker test --cluster sim --protocol paxos --time-limit 30m --stop-on-violation
  checker test --cluster netns --protocol paxos --faults all
  checker test --cluster ssh --hosts n1=10.0.0.1,n2=10.0.0.2,n3=10.0.0.3
  checker test --system mykv.yaml --faults kill,pause
  checker test --system etcd --set reads=serializable --cluster netns
  checker test --system maelstrom --bin ./mynode --workload broadcast
  checker test --system mykv.yaml --nodes 10.0.0.1:8080,10.0.0.2:8080
  checker test --seed 42 --schedule store/latest/schedule.jsonl`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("seed") {
				f.seed = freshSeed()
			}
			if err := f.chooseSystem(cmd); err != nil {
				return usage(err)
			}
			f.cfg.ChooseHosts(run.SiteNodesFile)
			if err := f.cfg.CountHosts(); err != nil {
				return usage(err)
			}
			f.cfg.Seed = f.seed
			f.cfg.CheckMemory = f.memoryMB << 20
			if err := f.cfg.Validate(); err != nil {
				return usage(err)
			}
			if f.cfg.Cluster == "sim" {
				easeCollector()
			}
			return runTest(leashed(stop, f.leash), std, f.cfg, f.verbose)
		},
	}
	f.bind(cmd)
	leashFlag(cmd, &f.leash)
	return cmd
}

// chooseSystem reads what is under test, and takes the workload that it suggests.
func (f *testFlags) chooseSystem(cmd *cobra.Command) error {
	if err := f.refuseStrange(cmd); err != nil {
		return err
	}
	if f.cfg.System == systems.Maelstrom && !cmd.Flags().Changed("rate") {
		f.cfg.Rate = maelstromRate
	}
	if err := f.cfg.ReadSystem(cmd.Flags().Changed("nodes")); err != nil {
		return err
	}
	return f.cfg.ChooseWorkload()
}

// maelstromRate is what nodes that gossip all that they have bear, by default.
const maelstromRate = 100

// refuseStrange refuses flags of another system than the one that is tested.
func (f *testFlags) refuseStrange(cmd *cobra.Command) error {
	reference, ofMaelstrom := run.Default().System, f.cfg.System == systems.Maelstrom
	for _, flag := range []struct {
		name, owner string
		fits        bool
	}{
		{"protocol", "the reference cluster's", f.cfg.System == reference || ofMaelstrom},
		{"bug", "the reference cluster's", f.cfg.System == reference},
		{"target", "the reference cluster's", f.cfg.System == reference},
		{"bin", "of nodes of maelstrom", ofMaelstrom},
	} {
		if !flag.fits && cmd.Flags().Changed(flag.name) {
			return fmt.Errorf("--%s is %s, not %s's", flag.name, flag.owner, f.cfg.System)
		}
	}
	return nil
}

// bindHosts binds the flags that say where nodes run.
func (f *testFlags) bindHosts(cmd *cobra.Command) {
	fs, c := cmd.Flags(), &f.cfg
	fs.StringVar(&c.Cluster, "cluster", c.Cluster, "how nodes are run: "+clusterNames())
	fs.VarP(nodesFlag{c}, "nodes", "n",
		"number of nodes, if no hosts are named; or nodes that run already: host:port,…")
	fs.StringSliceVar(&c.Hosts, "hosts", nil, "hosts of the nodes: n1=[user@]address[:port],…")
	fs.StringVar(&c.NodesFile, "nodes-file", "",
		"file with the hosts, a line each: n1 [user@]address[:port] [key=…] [jump=…] …")
	fs.StringSliceVar(&c.SSHKeys, "ssh-key", nil, "private keys to log in with (default: the user's)")
	fs.StringSliceVar(&c.KnownHosts, "known-hosts", nil,
		"files with the hosts' public keys (default: the user's)")
	fs.BoolVar(&c.SSHD, "sshd", false,
		"of cluster netns: a daemon of OpenSSH on every node, to look around")
	fs.StringVar(&c.Project, "project", "",
		"compose project of the nodes' containers (default: the one that runs)")
}

func (f *testFlags) bind(cmd *cobra.Command) {
	fs, c := cmd.Flags(), &f.cfg
	fs.StringVarP(&c.Workload, "workload", "w", "",
		"what clients do (default: what the system suggests)")
	fs.StringVar(&c.System, "system", c.System,
		"what is tested: "+strings.Join(systems.Names(), ", ")+
			", or the file that describes it, mykv.yaml")
	fs.Var(settingsFlag{c}, "set",
		"a setting of the system, name=value; once for each: checker list systems")
	fs.StringVarP(&c.Protocol, "protocol", "p", c.Protocol,
		"protocol of the reference cluster; or Maelstrom's workload, if --workload is none of those")
	fs.StringVar(&c.Bin, "bin", c.Bin, "program of a node that speaks Maelstrom's protocol")
	fs.StringVar(&c.Bug, "bug", c.Bug, "planted bug of the reference cluster to switch on")
	fs.StringVar(&c.Target, "target", c.Target,
		"program of the reference cluster's nodes (default: found or built)")
	f.bindHosts(cmd)
	fs.IntVarP(&c.Concurrency, "concurrency", "c", c.Concurrency, "number of clients")
	fs.DurationVarP(&c.TimeLimit, "time-limit", "t", c.TimeLimit,
		"how long the workload runs beside the faults")
	fs.Float64VarP(&c.Rate, "rate", "r", c.Rate,
		"operations a second of all clients together; 0 is as fast as they go")
	fs.BoolVar(&c.Rush, "rush", c.Rush, "as fast as they go for a moment whenever a fault begins or "+
		"ends, so that it meets many operations under way")
	fs.IntVar(&c.Keys, "keys", c.Keys, "keys in use at a time; 0 is the workload's default")
	fs.IntVar(&c.OpsPerKey, "ops-per-key", c.OpsPerKey,
		"operations on a key before a fresh one takes its place; 0 is the workload's default")
	fs.DurationVar(&c.TxnPause, "txn-pause", c.TxnPause,
		"how long one interactive transaction in four rests in its midst")
	fs.StringSliceVarP(&c.Faults, "faults", "f", c.Faults,
		`families of faults, or "all" (that the claim covers), or "none"; as in all,clock,disk`)
	fs.DurationVar(&c.Interval, "interval", c.Interval, "mean time between the starts of two faults")
	fs.BoolVar(&c.Noise, "noise", c.Noise, "a network that is a little bad all along: messages get "+
		"lost, doubled, late and out of order beside the faults")
	fs.StringVar(&c.Schedule, "schedule", c.Schedule, "file of fault steps to follow")
	fs.StringVar(&c.Operations, "operations", c.Operations,
		"file of operations to repeat, as checker shrink writes it")
	fs.DurationVar(&c.OpTimeout, "op-timeout", c.OpTimeout, "how long a client waits for an answer")
	fs.DurationVar(&c.RequestTimeout, "request-timeout", c.RequestTimeout,
		"how long a node works on a request")
	fs.IntVar(&c.BasePort, "base-port", c.BasePort,
		"first of the fixed ports, n*n+3n of them with n nodes; 0 takes any")
	fs.BoolVar(&c.Watch, "watch", c.Watch,
		"judge while the test runs, and tell of the first violation, also to checker serve")
	fs.BoolVar(&c.StopOnViolation, "stop-on-violation", c.StopOnViolation,
		"judge while the test runs, and end it at the first violation")
	fs.DurationVar(&c.CheckTime, "check-time", c.CheckTime, "time limit of the checkers")
	fs.Int64Var(&f.memoryMB, "check-memory", c.CheckMemory>>20, "memory limit of the checkers, MiB")
	engineFlag(cmd, &c.Engine)
	fs.Uint64Var(&f.seed, "seed", 0, "decides operations, faults, targets and times (default: fresh)")
	fs.StringVar(&c.Store, "store", c.Store, "directory of all runs")
	fs.BoolVarP(&f.verbose, "verbose", "v", false, "log what the checker does")
}

// nodesFlag is a number of nodes, or the addresses of nodes that run already.
type nodesFlag struct{ cfg *run.Config }

// String is the number: the default that help shows.
func (f nodesFlag) String() string {
	if f.cfg == nil {
		return ""
	}
	return strconv.Itoa(f.cfg.Nodes)
}

// Type is what help calls the value.
func (f nodesFlag) Type() string { return "nodes" }

// Set reads one or the other.
func (f nodesFlag) Set(text string) error {
	if n, err := strconv.Atoi(text); err == nil {
		f.cfg.Nodes, f.cfg.Endpoints = n, nil
		return nil
	}
	if !strings.Contains(text, ":") {
		return errors.New("want a number, or host:port,…")
	}
	f.cfg.Endpoints = strings.Split(text, ",")
	return nil
}

// settingsFlag collects the settings of a system, one each time.
type settingsFlag struct{ cfg *run.Config }

// String is empty: a system has defaults of its own.
func (settingsFlag) String() string { return "" }

// Type is what help calls the value.
func (settingsFlag) Type() string { return "name=value" }

// Set reads one. To say the same one twice is a mistake.
func (f settingsFlag) Set(text string) error {
	name, value, ok := strings.Cut(text, "=")
	if !ok || name == "" {
		return errors.New("want name=value")
	}
	if old, said := f.cfg.Settings[name]; said {
		return fmt.Errorf("%s is %q already", name, old)
	}
	if f.cfg.Settings == nil {
		f.cfg.Settings = map[string]string{}
	}
	f.cfg.Settings[name] = value
	return nil
}

// clusterNames lists the ways of running nodes.
func clusterNames() string {
	var names []string
	for _, c := range run.Clusters() {
		names = append(names, c.Name)
	}
	return strings.Join(names, ", ")
}

// runTest runs the test and prints its outcome.
func runTest(stop interrupts, std streams, cfg run.Config, verbose bool) error {
	env := environment(stop, std, verbose)
	env.Judged = found
	out, err := run.Run(stop.gentle, cfg, env)
	if out.Result != nil {
		tellStep(std, out)
		printOutcome(std.out, out)
		return judged(std, out.Result.Verdict, err)
	}
	if operation.IsBroken(err) {
		fmt.Fprintf(std.out, "\nverdict: UNKNOWN\n  nothing was tested: %s\n", oneLine(err))
		return verdictReached{check.Unknown}
	}
	for _, refused := range []error{systems.ErrOptions, run.ErrTarget, run.ErrHosts} {
		if errors.Is(err, refused) {
			return usage(err)
		}
	}
	return err
}

// found makes sure that a panic from now on does not hide a violation.
func found(v check.Verdict) {
	if v == check.Invalid {
		crash.Handle(crashedInvalid)
	}
}

// judged turns a verdict and a trouble beside it into the exit status: trouble does
// not hide what was found, but a run with trouble is no success.
func judged(std streams, v check.Verdict, err error) error {
	if err == nil {
		return verdictReached{v}
	}
	if v == check.Valid {
		return err
	}
	fmt.Fprintln(std.err, "checker:", oneLine(err))
	return verdictReached{v}
}

func environment(stop interrupts, std streams, verbose bool) run.Env {
	return run.Env{
		Out:      std.err,
		Terminal: isTerminal(std.err),
		Logger:   logger(std.err, verbose),
		Version:  version(),
		Abort:    stop.hard,
	}
}

// printOutcome says in plain words what came out: the verdict, what each checker
// found, where the report is and how to do it again.
func printOutcome(w io.Writer, out run.Outcome) {
	fmt.Fprintf(w, "\nverdict: %s\n", strings.ToUpper(out.Result.Verdict.String()))
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	printParts(tw, *out.Result)
	// The writer fails only if w does, and then nobody is there to be told.
	_ = tw.Flush()
	fmt.Fprintf(w, "report:  %s\nrepeat:  %s\n", out.Report, out.Test.Repeat)
}

// printParts prints a line for each checker that is not composed of others.
func printParts(w io.Writer, r check.Result) {
	if len(r.Parts) == 0 {
		fmt.Fprintf(w, "  %s\t%s\t%s\n", r.Verdict, r.Name, strings.Join(strings.Fields(r.Reason), " "))
	}
	for _, p := range r.Parts {
		printParts(w, p)
	}
}

// freshSeed draws a seed that no earlier run had.
func freshSeed() uint64 {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic("the system has no randomness: " + err.Error())
	}
	// Short enough to be typed, long enough not to come twice.
	return binary.LittleEndian.Uint64(b[:]) % 1_000_000_000_000
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
