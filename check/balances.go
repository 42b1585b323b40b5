package check

import (
	"context"
	"fmt"

	"github.com/ordeal-dev/ordeal/history"
)

// BalancesDetails are the Details of Balances.
type BalancesDetails struct {
	Reads     int `json:"reads"`
	Transfers int `json:"transfers"`
	// Total is what the first read added up to.
	Total int64 `json:"total"`
	// The reads that were wrong: their total, a balance below zero, other accounts
	// than the first read had.
	WrongTotal int `json:"wrongTotal"`
	Negative   int `json:"negative"`
	Accounts   int `json:"accounts"`
}

// Balances checks the histories of Jepsen's own bank workload: transfer
// {"from": a, "to": b, "amount": n}, and read -> a map of all accounts to their
// balances. The accounts and the total of every read are those of the first one:
// what they were in the beginning the history does not say. With
// o.NoOverdraft no balance is below zero. It asks for no real-time order. Histories
// of this program's bank, which know the beginning, are for Bank.
func Balances(o BankOptions) Checker {
	return CheckerFunc(func(ctx context.Context, h *history.History) Result {
		if r, stop := interrupted(ctx, bankName); stop {
			return r
		}
		banks := make(map[history.Key]*balances)
		var sum balances
		for i := range h.Ops {
			op := &h.Ops[i]
			b := banks[op.Key]
			if b == nil {
				b = &balances{}
				banks[op.Key] = b
			}
			if err := b.operation(op, o, &sum); err != nil {
				return Result{Name: bankName, Verdict: Unknown,
					Reason: misfit(op, "a bank", err).Error()}
			}
		}
		return sum.result()
	})
}

// balances is one bank, or the sum of all.
type balances struct {
	d     BalancesDetails
	first *history.Operation
	bad   violations
}

func (b *balances) result() Result {
	d := b.d
	r := Result{Name: bankName, Details: d, Power: []Measure{measure("reads", d.Reads),
		measure("transfers", d.Transfers)}}
	b.bad.settle(&r, fmt.Sprintf("of %s, %s", count(d.Reads, "read", "reads"), tallies(
		tally{d.WrongTotal, "with a wrong total"}, tally{d.Negative, "with a negative balance"},
		tally{d.Accounts, "with other accounts"})),
		func() (Verdict, string) {
			if d.Reads < 2 || d.Transfers == 0 {
				return Unknown, "nothing was shown: fewer than two reads, or no transfer"
			}
			return Valid, fmt.Sprintf("the total is %d in %s", d.Total, count(d.Reads, "read", "reads"))
		})
	return r
}

func (b *balances) operation(op *history.Operation, o BankOptions, sum *balances) error {
	switch op.F {
	case "transfer":
		if op.Type == history.OK {
			sum.d.Transfers++
		}
		return nil
	case "read":
	default:
		return fmt.Errorf("there are only read and transfer")
	}
	if op.Type != history.OK {
		return nil
	}
	total, negative, err := addUp(op.Out)
	if err != nil {
		return err
	}
	sum.d.Reads++
	if b.first == nil {
		b.first, b.d.Total = op, total
		sum.d.Total = total
	}
	got := fmt.Sprintf("Process %d read %s at %s", op.Process, op.Out, seconds(op.Return))
	switch {
	case !sameNames(b.first.Out, op.Out):
		sum.d.Accounts++
		sum.bad.add(op.Key, "other accounts",
			got+", which are not the accounts of the first read.", b.first, op)
	case total != b.d.Total:
		sum.d.WrongTotal++
		sum.bad.add(op.Key, "another total",
			fmt.Sprintf("%s, %d in all, and the first read added up to %d.", got,
				total, b.d.Total), b.first, op)
	case o.NoOverdraft && negative != "":
		sum.d.Negative++
		sum.bad.add(op.Key, "below zero",
			fmt.Sprintf("%s: %s is below zero.", got, negative), op)
	}
	return nil
}

// addUp returns the total of a map of balances, and an account that is below zero.
func addUp(v history.Value) (total int64, negative string, err error) {
	if v.Kind() != history.KindMap {
		return 0, "", fmt.Errorf("want a map of balances, got a %s", v.Kind())
	}
	for i := range v.Len() {
		n, isInt := v.At(i).AsInt()
		if !isInt {
			return 0, "", fmt.Errorf("the balance of %s is %s", v.FieldName(i), v.At(i))
		}
		if sum := total + n; (sum > total) != (n > 0) && n != 0 {
			return 0, "", fmt.Errorf("the balances exceed 64 bits")
		}
		if total += n; n < 0 {
			negative = v.FieldName(i)
		}
	}
	return total, negative, nil
}

// sameNames reports whether two maps have the same fields.
func sameNames(a, b history.Value) bool {
	if a.Len() != b.Len() {
		return false
	}
	names := make(map[string]bool, a.Len())
	for i := range a.Len() {
		names[a.FieldName(i)] = true
	}
	for i := range b.Len() {
		if !names[b.FieldName(i)] {
			return false
		}
	}
	return true
}
