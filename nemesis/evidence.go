package nemesis

import (
	"maps"
	"slices"

	"github.com/ordeal-dev/ordeal/history"
)

// Evidence is what shows that a fault really hurt, or that it is really healed.
type Evidence struct {
	// Bit is true when the fault was seen to have its effect (or, of a heal,
	// when everything was seen to work again).
	Bit bool `json:"bit"`
	// Idle is true when the fault was in force and it was seen that there was nothing that
	// it could act upon: no message, no write, no process. Then it is no doubt, and no test either.
	Idle bool `json:"idle,omitempty"`
	// Why is one sentence: what was seen, or what is missing.
	Why string `json:"why"`
	// Facts are the numbers behind it, by name: "dropped", "pid n1 before".
	Facts map[string]int64 `json:"facts,omitempty"`
}

// value returns the evidence as a value of a nemesis event.
func (e Evidence) value() history.Value {
	fields := []history.Field{
		{Name: "bit", Value: history.Bool(e.Bit)},
		{Name: "why", Value: history.Str(e.Why)},
	}
	if e.Idle {
		fields = append(fields, history.Field{Name: "idle", Value: history.Bool(true)})
	}
	for _, name := range slices.Sorted(maps.Keys(e.Facts)) {
		fields = append(fields, history.Field{Name: name, Value: history.Int(e.Facts[name])})
	}
	return history.Map(fields...)
}

// add sets a fact.
func (e *Evidence) add(name string, n int64) {
	if e.Facts == nil {
		e.Facts = map[string]int64{}
	}
	e.Facts[name] = n
}
