package run

// minimize takes items away as long as what is wanted still shows: first in large pieces,
// then in smaller ones, in the end one by one until none can go (delta debugging; Zeller and
// Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", TSE 2002). The last
// pieces go first, because what comes late mattered least. shows must hold for items, and
// may be asked for any sublist; once more reports false the smallest list so far is it.
func minimize[T any](items []T, shows func([]T) bool, more func() bool) []T {
	for size := (len(items) + 1) / 2; size > 0 && len(items) > 0; {
		reduced := false
		for end := len(items); end > 0 && more(); end -= size {
			start := max(0, end-size)
			if end > len(items) {
				continue
			}
			rest := append(append([]T(nil), items[:start]...), items[end:]...)
			if shows(rest) {
				items, reduced = rest, true
			}
		}
		switch {
		case !more():
			return items
		case size > 1:
			size = min(size/2, (len(items)+1)/2)
		case !reduced:
			return items
		}
	}
	return items
}
