package linear

import "testing"

// randomMembers draws the history of a set that has two elements at most.
func randomMembers(w *world) []MemberOp {
	ops := make([]MemberOp, len(w.spans))
	changed := map[MemberOp]bool{}
	for i, s := range w.spans {
		change := MemberOp{Kind: MemberKind(w.IntN(2)), Value: Value(1 + w.IntN(2))}
		if w.IntN(2) == 0 && !changed[change] {
			changed[change] = true
		} else {
			change.Kind = MemberFound
		}
		change.Span = s
		ops[i] = change
	}
	state := [3]bool{}
	for _, i := range w.moments {
		switch op := &ops[i]; {
		case op.Kind == MemberAdd:
			state[op.Value] = true
		case op.Kind == MemberRemove:
			state[op.Value] = false
		case !state[op.Value]:
			op.Kind = MemberMissed
		}
	}
	for range w.mistakes(3) {
		if op := &ops[w.IntN(len(ops))]; op.Kind >= MemberFound {
			op.Kind = MemberFound + MemberMissed - op.Kind
		}
	}
	return ops
}

func memberStep(ops []MemberOp) func(s [3]bool, i int) [][3]bool {
	return func(s [3]bool, i int) [][3]bool {
		switch v := ops[i].Value; ops[i].Kind {
		case MemberAdd:
			s[v] = true
		case MemberRemove:
			s[v] = false
		case MemberFound:
			return only(s, s[v])
		case MemberMissed:
			return only(s, !s[v])
		}
		return [][3]bool{s}
	}
}

var memberEngine = engine[MemberOp, [3]bool]{
	draw: randomMembers, run: Members, order: MembersOrder, step: memberStep,
	span:    func(op *MemberOp) *Span { return &op.Span },
	changes: func(op *MemberOp) bool { return op.Kind < MemberFound },
	rename: func(op *MemberOp, name func(Value) Value) {
		op.Value = name(op.Value)
	},
	each: func(_, _ int) []MemberOp {
		return []MemberOp{
			{Kind: MemberAdd}, {Kind: MemberRemove}, {Kind: MemberFound}, {Kind: MemberMissed},
		}
	},
	partial: true, // there may be two adds
	kinds:   []Kind{Unwritten, Inverted, Missing, Shrunk, Unstable},
}

func TestMembersAgainstTwin(t *testing.T) { memberEngine.test(t, 5000) }
func TestMembersChanges(t *testing.T)     { memberEngine.testChanges(t, 2000) }

func TestMembersExhaustively(t *testing.T) { memberEngine.testExhaustively(t, 4) }
