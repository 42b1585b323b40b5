package nemesis

import "slices"

// broadFamilyOf returns the broad families that a kind of fault belongs to; a system
// has to survive all of them to survive the fault.
func broadFamilyOf(kind string) []string {
	switch kind {
	case "partition", "one-way", "flapping":
		return []string{"partition"}
	case "clients":
		return []string{"clients"}
	case "kill", "kill-all", "kill-seq":
		return []string{"kill"}
	case "isolate-kill":
		return []string{"partition", "kill"}
	case "pause":
		return []string{"pause"}
	case "restart-storm", "rolling-restart":
		return []string{"restart"}
	case "messages", "loss", "duplicate", "reorder", "delay", "replay", "corrupt", "rate":
		return []string{"messages"}
	default:
		return []string{kind}
	}
}

// Outside returns the families of faults in a schedule that are not among those that a
// claim covers, in alphabetic order. What a system does under those says nothing about
// its claim.
func Outside(steps []Step, claimed []string) []string {
	var out []string
	for _, s := range steps {
		for _, f := range broadFamilyOf(s.Fault) {
			if !slices.Contains(claimed, f) && !slices.Contains(out, f) {
				out = append(out, f)
			}
		}
	}
	slices.Sort(out)
	return out
}
