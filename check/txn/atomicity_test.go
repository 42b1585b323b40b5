package txn

import "testing"

// TestFracturedOnce: what a transaction missed of another one counts once, however much it
// saw of the rest, or the time would be cubic in the length of transactions.
func TestFracturedOnce(t *testing.T) {
	for _, c := range []struct {
		text       string
		view, read int
	}{
		{`
			p0 0..9 ax1 ay1 az1
			p1 0..9 rx=1 ry=1 rz=
			p2 10..11 rz=1`, 1, 0},
		{`
			p0 0..9 ax1 ay1 az1
			p1 0..9 rz= rx=1 ry=1
			p2 10..11 rz=1`, 0, 1},
		{`
			p0 0..9 aw1 ax1 ay1 az1
			p1 0..9 rz= rx=1 ry=1 rw=
			p2 10..11 rz=1 rw=1`, 1, 1},
	} {
		r, err := ListAppend(t.Context(), parse(t, c.text), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if r.Counts[FracturedView] != c.view || r.Counts[FracturedRead] != c.read {
			t.Errorf("%s\ncounts %v, want %d views and %d reads", c.text, r.Counts, c.view, c.read)
		}
	}
}
