package recall

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"github.com/ordeal-dev/ordeal/systems"
)

// Set is a set of planted bugs.
type Set string

// The sets: each bug is in one of them.
const (
	Smoke  Set = "smoke"  // whoever tests a system at all has to find them
	Core   Set = "core"   // the main figure
	Needle Set = "needle" // rare combinations, to tell good schedules from poor ones
)

func sets() []Set { return []Set{Smoke, Core, Needle} }

// classes are those of planted bugs, in ascending order of difficulty.
func classes() []string { return []string{"easy", "medium", "hard", "needle"} }

// plantedBug is what the target says of a bug.
type plantedBug struct {
	ID        string   `json:"id"`
	Protocols []string `json:"protocols"`
	Class     string   `json:"class"`
	Smoke     bool     `json:"smoke"`
}

// set is the one that the bug is in.
func (b plantedBug) set() Set {
	switch {
	case b.Smoke:
		return Smoke
	case b.Class == string(Needle):
		return Needle
	default:
		return Core
	}
}

// plantedBugs asks the program of a node.
func plantedBugs(ctx context.Context, target string) ([]plantedBug, error) {
	out, err := exec.CommandContext(ctx, target, "bugs", "--json").Output()
	if err != nil {
		return nil, fmt.Errorf("bugs of %s: %w", target, err)
	}
	var bugs []plantedBug
	if err := json.Unmarshal(out, &bugs); err != nil {
		return nil, fmt.Errorf("bugs of %s: %w", target, err)
	}
	return bugs, nil
}

// row is a subject with what the report has to know of its bug.
type row struct {
	subject
	class string
	set   Set
}

// subjects are the rows: each planted bug once, in the first protocol that it can be
// planted in, and each protocol without; or, for the matrix, each protocol with each
// workload of its claim. A bug may need any workload and any fault of the claim, and
// nothing says which: rows of one protocol differ in nothing but the bug.
func subjects(c Config, bugs []plantedBug) []row {
	planted := map[string]bool{}
	var rows []row
	add := func(r row) {
		chosen := strings.Contains(r.name(), c.Only) &&
			(c.Skip == "" || !strings.Contains(r.name(), c.Skip)) &&
			(len(c.Sets) == 0 || slices.Contains(c.Sets, r.set))
		if chosen {
			rows = append(rows, r)
		}
	}
	for _, p := range systems.Protocols() {
		s := subject{protocol: p.Name, faults: strings.Join(p.Faults, ",")}
		if c.Matrix {
			for _, w := range p.Workloads {
				s.workload = w
				add(row{subject: s})
			}
			continue
		}
		s.workload = strings.Join(p.Workloads, ",")
		for _, b := range bugs {
			if slices.Contains(b.Protocols, p.Name) && !planted[b.ID] {
				planted[b.ID] = true
				s.bug = b.ID
				add(row{subject: s, class: b.Class, set: b.set()})
			}
		}
		s.bug = ""
		add(row{subject: s})
	}
	return rows
}
