package nemesis

import (
	"slices"
	"strconv"
)

// leaseBound is how wrong a clock's rate may be for the family "drift".
const leaseBound = 0.05

// broadFamilyOf returns the broad families that a step belongs to; a system has to
// survive all of them to survive the step.
func broadFamilyOf(s Step) []string {
	switch kind := s.Fault; kind {
	case "partition", "one-way", "flapping":
		return []string{"partition"}
	case "clients":
		return []string{"clients"}
	case "kill", "kill-all", "kill-seq", "restart-order":
		return []string{"kill"}
	case "isolate-kill", "isolate-restart":
		return []string{"partition", "kill"}
	case "echo":
		return []string{"partition", "messages"}
	case "pause", "cpu": // which is to be stopped for the most of every tenth of a second
		return []string{"pause"}
	case "memory": // it makes wait, as too little of a CPU does, and the kernel may kill
		return []string{"pause", "kill"}
	case "restart-storm", "rolling-restart":
		return []string{"restart"}
	case "messages", "loss", "duplicate", "reorder", "delay", "replay", "corrupt", "rate", "hold":
		return []string{"messages"}
	case "clock-jump", "clock-drift", "clock-strobe", "clock-freeze":
		if s.Params["clock"] == "wall" || kind == "clock-drift" && s.rateWithin(leaseBound) {
			return []string{"drift"}
		}
		return []string{"clock"}
	case "wall-jump", "wall-drift", "wall-strobe": // durations stay true
		return []string{"drift"}
	case "power-loss":
		return []string{"power"}
	case "disk-slow", "disk-error", "disk-full", "disk-torn", "volume-full",
		"volume-slow", "write-limit":
		return []string{"disk"}
	case "disk-wipe":
		return []string{"wipe"}
	case "file-flip", "file-truncate":
		return []string{"files"}
	case "remove-member":
		return []string{"membership"}
	default:
		return []string{kind}
	}
}

// rateWithin reports whether a step bends no clock by more than a bound.
func (s Step) rateWithin(bound float64) bool {
	for _, name := range []string{"rate", "others"} {
		text, there := s.Params[name]
		if !there {
			continue
		}
		rate, err := strconv.ParseFloat(text, 64)
		if err != nil || rate < 1-bound || rate > 1+bound {
			return false
		}
	}
	return true
}

// covers reports whether a claim that names these families covers one: whoever
// survives any clock survives a bounded one, and "admin" is all of its orders.
func covers(claimed []string, family string) bool {
	wider := map[string]string{
		"drift": "clock", "transfer": "admin", "membership": "admin", "move": "admin",
	}
	return slices.Contains(claimed, family) || slices.Contains(claimed, wider[family])
}

// Outside returns the families of faults in a schedule that are not among those that a
// claim covers, in alphabetic order. What a system does under those says nothing about
// its claim.
func Outside(steps []Step, claimed []string) []string {
	var out []string
	for _, s := range steps {
		for _, f := range broadFamilyOf(s) {
			if !covers(claimed, f) && !slices.Contains(out, f) {
				out = append(out, f)
			}
		}
	}
	slices.Sort(out)
	return out
}
