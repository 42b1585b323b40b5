package linear

// RegisterOrder returns a legal order of the operations, nil if Register finds
// none. Operations of unknown outcome that nobody saw are not in it.
func RegisterOrder(ops []RegisterOp) []int { return CASOrder(casOf(ops)) }

// casOf are the same operations for a register with compare-and-set.
func casOf(ops []RegisterOp) []CASOp {
	cas := make([]CASOp, len(ops))
	for i, op := range ops {
		cas[i] = CASOp{Span: op.Span, Value: op.Value}
		if op.Write {
			cas[i].Kind = CASWrite
		}
	}
	return cas
}
