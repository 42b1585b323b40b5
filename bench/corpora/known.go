package main

import (
	"cmp"
	_ "embed"
	"strings"

	"github.com/ordeal-dev/ordeal/check"
	"github.com/ordeal-dev/ordeal/check/graph"
)

// difference is a verdict of another tool that we do not share, or a history that we
// do not judge, and why. Whatever is on the list was looked at by hand.
type difference struct {
	// name is the end of the case's name, judge the beginning of the judge's.
	name, judge string
	// got is what we say: a verdict, or a part of the error.
	got string
	// says is in our reason. If it is given, only what Elle said may differ, not what
	// brute force found.
	says string
	why  string
}

// Why we differ.
const (
	timeless = "without invocations Elle knows no time, and we take completions for moments"
	double   = "a process does two things at a time; Elle itself fails at some levels"
	empty    = "Elle takes [] and nil for different states and finds a false internal"
	within   = "a transaction that misses its own append contradicts itself at any level; Elle " +
		"asks for that from read atomic upwards only"
	torn = "what one transaction appended to one list stands there in another order, or only " +
		"a part of it: Elle has no name for that"
	fractured = "a transaction was seen in part, which monotonic atomic view and read atomic " +
		"forbid by definition; Elle looks for it as a cycle only"
	orders  = "a cycle that is there in every order of the versions: Elle does not try all"
	nowhere = "a value was read that nobody wrote; Elle takes it for one from before"
)

func differences() []difference {
	list := []difference{
		{"checker-test-initial_state", "rw-register", "while its txn of index 0 is open", "", double},
		{"good/multi-register.edn", "multi-register", "invalid", "",
			"the registers were 0 in the beginning, which the file does not say"},
		{"la-100464-mut2", "list-append read-atomic", "valid", "", empty},
		{"elle/rw-register.edn", "rw-register", "invalid", "", nowhere},
		{"elle/rw-register.json", "rw-register", "invalid", "", nowhere},
		{"checker-test-G2-item", "rw-register", "invalid", "unexpected", nowhere},
		{"test-wfr+paired", "rw-register", "invalid", "unexpected", nowhere},
		{"test-wfr", "rw-register", "invalid", "unexpected", nowhere},
		{"test-wfr-2", "rw-register", "invalid", "unexpected", nowhere},
		{"test-wfr-2+paired", "rw-register", "invalid", "unexpected", nowhere},
	}
	list = append(list, registers()...)
	add := func(why, judge string, names ...string) {
		for _, name := range names {
			list = append(list, difference{name, "list-append " + judge, "invalid", "", why})
		}
	}
	add(within, "causal", "la-100576-mut2", "la-16-mut1", "la-384-mut2", "la-624-random")
	add(within, "repeatable-read", "la-100576-mut2", "la-16-mut1", "la-384-mut2", "la-624-random")
	add(torn, "read-uncommitted", "la-100116-random", "la-100584-random", "la-376-random",
		"la-656-random", "la-88-random", "la-768-mut1", "la-100216-mut2")
	add(fractured, "monotonic-atomic-view", "la-100072-random", "la-100444-mut2",
		"la-100544-random", "la-424-mut2", "la-740-random")
	add(fractured, "read-atomic", "la-100336-rc", "la-100444-mut2", "la-100544-random",
		"la-100596-random")
	return list
}

// registersText lists, a line each, histories of registers, what we find in them, and the
// levels at which Elle finds nothing. All of them were refuted by brute force.
//
//go:embed registers.txt
var registersText string

// registers are the differences of registersText.
func registers() []difference {
	why := map[string]string{
		"future-read":     "a transaction read what it wrote only later; Elle has no name for that",
		"internal":        within,
		"fractured-view":  fractured,
		"cyclic-versions": orders,
	}
	var list []difference
	for line := range strings.Lines(registersText) {
		words := strings.Fields(line)
		name, says := words[0], words[1]
		for _, level := range words[2:] {
			list = append(list, difference{"/" + name, "rw-register " + level, "invalid", says,
				cmp.Or(why[says], orders)})
		}
	}
	return list
}

// whyKnown returns why we differ, if the outcome of a case is on the list.
func whyKnown(c testCase, o outcome) string {
	level, err := graph.ParseLevel(c.file.Isolation)
	if c.moments && c.told && err == nil && level.Realtime() && o.err == nil {
		return timeless
	}
	for _, d := range differences() {
		if !strings.HasSuffix(c.name, d.name) || !strings.HasPrefix(c.judge(), d.judge) {
			continue
		}
		broken, _, _ := strings.Cut(o.result.Reason, ";")
		switch {
		case d.says != "" && !(c.told && strings.Contains(broken, d.says)):
			continue
		case o.err != nil && strings.Contains(o.err.Error(), d.got):
			return d.why
		case o.err == nil && o.result.Verdict != check.Unknown && o.result.Verdict.String() == d.got:
			return d.why
		}
	}
	return ""
}
