package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/ordeal-dev/ordeal/history"
	"github.com/ordeal-dev/ordeal/models"
	"github.com/ordeal-dev/ordeal/nemesis"
	"github.com/ordeal-dev/ordeal/reports/store"
	"github.com/ordeal-dev/ordeal/run"
	"github.com/ordeal-dev/ordeal/systems"
	"github.com/ordeal-dev/ordeal/systems/maelstrom"
	"github.com/ordeal-dev/ordeal/systems/native"
	"github.com/ordeal-dev/ordeal/workload"
)

// listing is one thing that `checker list` can show.
type listing struct {
	name, doc string
	show      func(w io.Writer, store string) error
}

func newList(std streams) *cobra.Command {
	var store string
	all := allListings()
	names := make([]string, len(all))
	for i, l := range all {
		names[i] = l.name
	}
	cmd := &cobra.Command{
		Use:       "list [" + strings.Join(names, "|") + "]",
		Short:     "List workloads, faults, kinds of faults, systems, models, checkers and stored runs",
		Args:      atMostOne,
		ValidArgs: names,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return listAll(std.out, all, store)
			}
			i := slices.Index(names, args[0])
			if i < 0 {
				return usage(fmt.Errorf("list %q: unknown; there is %s",
					args[0], strings.Join(names, ", ")))
			}
			return table(std.out, all[i], store)
		},
	}
	cmd.Flags().StringVar(&store, "store", run.Default().Store, "directory of all runs")
	return cmd
}

// listAll shows everything but the stored runs and the long list of kinds, each under
// its heading.
func listAll(w io.Writer, all []listing, store string) error {
	for i, l := range all {
		if l.name == "runs" || l.name == "kinds" {
			continue
		}
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s: %s\n", strings.ToUpper(l.name), l.doc)
		if err := table(w, l, store); err != nil {
			return err
		}
	}
	return nil
}

func table(w io.Writer, l listing, store string) error {
	tw := tabwriter.NewWriter(w, 2, 8, 2, ' ', 0)
	if err := l.show(tw, store); err != nil {
		return err
	}
	return tw.Flush()
}

func allListings() []listing {
	return []listing{
		{"workloads", "what clients do (--workload)", listWorkloads},
		{"faults", "what goes wrong (--faults): part of all, or by name only", listFaults},
		{"kinds", "faults by themselves, for the steps of --schedule", listKinds},
		{"systems", "what is tested (--system, --protocol, --set)", listSystems},
		{"models", "what a history file is of (check --model)", listModels},
		{"checkers", "what else judges a history file (check --checker)", listCheckers},
		{"formats", "what a history file can be in (check --format)", listForms},
		{"runs", "what is stored", listRuns},
	}
}

func listWorkloads(w io.Writer, _ string) error {
	for _, wl := range workload.All() {
		tests := testedBy(wl.Name)
		if len(tests) == 0 {
			tests = []string{"no system that is known by name"}
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\n  \t\ttests: %s\n", wl.Name, joinFs(wl.Fs), wl.Doc,
			strings.Join(tests, ", "))
	}
	return nil
}

// testedBy lists the protocols of the reference cluster and the other systems whose claim a
// workload tests.
func testedBy(workload string) []string {
	var names []string
	for _, p := range systems.Protocols() {
		if slices.Contains(p.Workloads, workload) {
			names = append(names, p.Name)
		}
	}
	for _, n := range systems.Natives() {
		sys, err := systems.New(systems.Options{System: n.Name})
		if err == nil && slices.Contains(sys.Workloads(), workload) {
			names = append(names, n.Name)
		}
	}
	for _, p := range maelstrom.Protocols() {
		if slices.Contains(p.Workloads, workload) {
			names = append(names, systems.Maelstrom+" "+p.Name)
		}
	}
	return names
}

func listFaults(w io.Writer, _ string) error {
	for _, f := range nemesis.Families() {
		in := "all"
		if !f.InAll {
			in = ""
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\n", f.Name, in, f.Doc)
	}
	return nil
}

func listKinds(w io.Writer, _ string) error {
	for _, k := range nemesis.Kinds() {
		fmt.Fprintf(w, "  %s\t%s\n  \tproof: %s\n", k.Name, k.Doc, k.Proof)
		for _, p := range k.Params {
			if off := p.Default == "0" || p.Default == "0s"; off && k.Name != "messages" {
				continue // what a kind does not do by itself
			}
			fmt.Fprintf(w, "  \t%s (%s, by default %s): %s\n", p.Name, p.Unit, p.Default, p.Doc)
		}
	}
	return nil
}

func listSystems(w io.Writer, _ string) error {
	for _, p := range systems.Protocols() {
		fmt.Fprintf(w, "  reference %s\t%s\n  \tclaims: %s\n  \tworkloads: %s\n"+
			"  \tunder faults of: %s\n", p.Name, p.Doc, p.Claim,
			strings.Join(p.Workloads, ", "), strings.Join(p.Faults, ", "))
	}
	fmt.Fprintln(w, "  \tplanted bugs: target bugs")
	for _, n := range systems.Natives() {
		if err := listNative(w, n); err != nil {
			return err
		}
	}
	for _, p := range maelstrom.Protocols() {
		fmt.Fprintf(w, "  maelstrom %s\tclaims: %s\n  \tworkloads: %s\n", p.Name, p.Claim,
			strings.Join(p.Workloads, ", "))
	}
	listSettings(w, systems.MaelstromSettings())
	return nil
}

// listNative shows a system that is known by name, as it is if nothing is set.
func listNative(w io.Writer, n native.System) error {
	sys, err := systems.New(systems.Options{System: n.Name})
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "  %s\t%s\n  \tclaims: %s\n  \tworkloads: %s\n  \tunder faults of: %s\n", n.Name,
		n.Doc, sys.Claim(), strings.Join(sys.Workloads(), ", "),
		cmp.Or(strings.Join(sys.Faults(), ", "), "none"))
	listSettings(w, n.Settings)
	return nil
}

func listSettings(w io.Writer, settings []native.Setting) {
	for _, s := range settings {
		values := ""
		if s.Values != nil {
			values = " (" + strings.Join(s.Values, ", ") + ")"
		}
		fmt.Fprintf(w, "  \t--set %s=%s%s: %s\n", s.Name, s.Default, values, s.Doc)
	}
}

func listModels(w io.Writer, _ string) error {
	for _, m := range models.All() {
		fmt.Fprintf(w, "  %s\t%s\n", m.Name, m.Doc)
	}
	return nil
}

func listCheckers(w io.Writer, _ string) error {
	names, docs := run.Checkers()
	_, err := io.WriteString(w, helpTable(names, docs))
	return err
}

func listForms(w io.Writer, _ string) error {
	names, docs := history.Forms()
	_, err := io.WriteString(w, helpTable(names, docs))
	return err
}

func listRuns(w io.Writer, dir string) error {
	s, err := store.Open(dir, time.Now)
	if errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintf(w, "no runs in %s\n", dir)
		return nil
	}
	if err != nil {
		return err
	}
	runs, err := s.Runs()
	if err != nil {
		return err
	}
	if len(runs) == 0 {
		fmt.Fprintf(w, "no runs in %s\n", dir)
		return nil
	}
	for _, r := range runs {
		fmt.Fprintf(w, "%s\t%s\tseed %d\t%s\n", r.State,
			r.Started.Format(time.RFC3339), r.Seed, s.Dir(r.ID))
	}
	return nil
}

func joinFs(fs []history.F) string {
	names := make([]string, len(fs))
	for i, f := range fs {
		names[i] = string(f)
	}
	return strings.Join(names, ", ")
}
