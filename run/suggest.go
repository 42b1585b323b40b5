package run

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ordeal-dev/ordeal/history"
)

// hint says which judge fits histories that have only certain operations.
type hint struct {
	fs []history.F // all that there are
	// has, if not nil, looks closer.
	has   func(*history.History) bool
	flags string
}

func hints() []hint {
	return []hint{
		{[]history.F{"read", "write"}, nil, "--model register"},
		{[]history.F{"read", "write", "cas"}, nil, "--model cas-register"},
		{[]history.F{"acquire", "release"}, nil, "--model mutex"},
		{[]history.F{"acquire", "release", "renew"}, nil, "--checker lock"},
		{[]history.F{"get", "put", "append"}, nil, "--model text"},
		{[]history.F{"append", "read"}, nil, "--checker log, or --model list"},
		{[]history.F{"add", "read"}, readsLists, "--checker set-full, or set"},
		{[]history.F{"add", "remove", "contains", "read"}, readsLists, "--model set"},
		{[]history.F{"add", "read"}, nil, "--checker counter or eventual-counter, or --model counter"},
		{[]history.F{"enqueue", "dequeue", "drain"}, nil, "--checker total-queue, or --model queue"},
		{[]history.F{"push", "pop"}, nil, "--model stack"},
		{[]history.F{"transfer", "read"}, nil, "--checker bank"},
		{[]history.F{"generate"}, nil, "--checker unique-ids"},
		{[]history.F{"echo"}, nil, "--checker echo"},
		{[]history.F{"propose", "ask"}, nil, "--checker decide"},
		{[]history.F{"txn"}, hasStep(history.StepAppend), "--checker list-append"},
		{[]history.F{"txn"}, hasStep(history.StepWrite),
			"--checker rw-register, or --model multi-register"},
		{[]history.F{"txn"}, hasStep(history.StepAdd), "--checker bank"},
	}
}

// Suggest looks into a history file and says in words what it has, and which judge
// that would be for.
func Suggest(path string, form history.Form) (string, error) {
	h, err := history.LoadWith(path, history.LoadOptions{Form: form})
	if err != nil {
		return "", fmt.Errorf("check: %w", err)
	}
	var fs []history.F
	counts := make(map[history.F]int)
	for i := range h.Ops {
		f := h.Ops[i].F
		if counts[f]++; counts[f] == 1 {
			fs = append(fs, f)
		}
	}
	if len(fs) == 0 {
		return "it has no operations", nil
	}
	var words []string
	for i, f := range fs {
		if i == 6 {
			words = append(words, "…")
			break
		}
		words = append(words, fmt.Sprintf("%d %s", counts[f], f))
	}
	has := "it has " + strings.Join(words, ", ")
	for _, hint := range hints() {
		strange := func(f history.F) bool { return !slices.Contains(hint.fs, f) }
		if !slices.ContainsFunc(fs, strange) && (hint.has == nil || hint.has(h)) {
			return has + ": perhaps " + hint.flags, nil
		}
	}
	return has, nil
}

func readsLists(h *history.History) bool {
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.F == "read" && op.Type == history.OK && op.Out.Kind() == history.KindList {
			return true
		}
	}
	return false
}

func hasStep(f history.F) func(*history.History) bool {
	return func(h *history.History) bool {
		for i := range h.Ops {
			steps, err := history.ViewSteps(h.Ops[i].In)
			if err == nil && slices.ContainsFunc(steps, func(s history.Step) bool { return s.F == f }) {
				return true
			}
		}
		return false
	}
}
