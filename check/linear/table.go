package linear

// table maps values to the clusters that are live. It is a hash table with linear
// probing that gives the place of a removed value back at once, so that it stays
// as small as what is live.
type table struct {
	slots []slot
	used  int
}

// slot is empty if at is 0; at is the cluster's number plus 1.
type slot struct {
	value Value
	at    int32
}

// home is Fibonacci hashing: consecutive numbers are spread evenly.
func (t *table) home(v Value) int {
	return int(uint32(v)*2654435769>>8) & (len(t.slots) - 1)
}

func (t *table) get(v Value) int32 {
	if len(t.slots) == 0 {
		return none
	}
	for i := t.home(v); ; i = (i + 1) & (len(t.slots) - 1) {
		s := t.slots[i]
		if s.at == 0 {
			return none
		}
		if s.value == v {
			return s.at - 1
		}
	}
}

// put adds a value that the table does not have.
func (t *table) put(v Value, at int32) {
	if 2*t.used >= len(t.slots) {
		old := t.slots
		t.slots = make([]slot, max(64, 2*len(old)))
		for _, s := range old {
			if s.at != 0 {
				t.place(s)
			}
		}
	}
	t.used++
	t.place(slot{value: v, at: at + 1})
}

func (t *table) place(s slot) {
	i := t.home(s.value)
	for t.slots[i].at != 0 {
		i = (i + 1) & (len(t.slots) - 1)
	}
	t.slots[i] = s
}

// remove takes out a value that the table has and moves those up that stand after
// it because it was in their way.
func (t *table) remove(v Value) {
	mask := len(t.slots) - 1
	i := t.home(v)
	for t.slots[i].value != v || t.slots[i].at == 0 {
		i = (i + 1) & mask
	}
	t.used--
	for j := (i + 1) & mask; t.slots[j].at != 0; j = (j + 1) & mask {
		if (j-t.home(t.slots[j].value))&mask >= (j-i)&mask {
			t.slots[i] = t.slots[j]
			i = j
		}
	}
	t.slots[i] = slot{}
}

// bitmap is a set of numbers, in pages, so that far apart ones cost little.
type bitmap struct {
	pages []*[1 << 10]uint64
}

const pageBits = 16

func (b *bitmap) has(n uint32) bool {
	page := int(n >> pageBits)
	return page < len(b.pages) && b.pages[page] != nil &&
		b.pages[page][n&(1<<pageBits-1)>>6]&(1<<(n&63)) != 0
}

// set adds n and reports whether it was there.
func (b *bitmap) set(n uint32) bool {
	page := int(n >> pageBits)
	if page >= len(b.pages) {
		b.pages = append(b.pages, make([]*[1 << 10]uint64, page+1-len(b.pages))...)
	}
	if b.pages[page] == nil {
		b.pages[page] = new([1 << 10]uint64)
	}
	word, bit := &b.pages[page][n&(1<<pageBits-1)>>6], uint64(1)<<(n&63)
	was := *word&bit != 0
	*word |= bit
	return was
}

func (b *bitmap) clear(n uint32) {
	if b.has(n) {
		b.pages[n>>pageBits][n&(1<<pageBits-1)>>6] &^= 1 << (n & 63)
	}
}

// fifo is a queue that grows as needed and gives room back by reusing it.
type fifo[T any] struct {
	items []T
	head  int
}

func (q *fifo[T]) len() int    { return len(q.items) - q.head }
func (q *fifo[T]) at(i int) *T { return &q.items[q.head+i] }

func (q *fifo[T]) push(x T) {
	if q.head > 32 && q.head > len(q.items)/2 && len(q.items) == cap(q.items) {
		q.items = q.items[:copy(q.items, q.items[q.head:])]
		q.head = 0
	}
	q.items = append(q.items, x)
}

func (q *fifo[T]) pop() T {
	x := q.items[q.head]
	q.head++
	return x
}
