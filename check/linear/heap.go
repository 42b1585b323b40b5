package linear

// heap is a heap of T, the least on top.
type heap[T any] struct {
	less  func(a, b *T) bool
	items []T
}

func (h *heap[T]) len() int { return len(h.items) }
func (h *heap[T]) top() *T  { return &h.items[0] }

func (h *heap[T]) push(x T) {
	h.items = append(h.items, x)
	q := h.items
	for i := len(q) - 1; i > 0; {
		parent := (i - 1) / 2
		if !h.less(&q[i], &q[parent]) {
			break
		}
		q[i], q[parent] = q[parent], q[i]
		i = parent
	}
}

func (h *heap[T]) pop() T {
	q := h.items
	top := q[0]
	q[0] = q[len(q)-1]
	q = q[:len(q)-1]
	h.items = q
	for i := 0; ; {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(q); c++ {
			if h.less(&q[c], &q[least]) {
				least = c
			}
		}
		if least == i {
			return top
		}
		q[i], q[least] = q[least], q[i]
		i = least
	}
}
