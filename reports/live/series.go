package live

import (
	"math"
	"math/bits"

	"github.com/ordeal-dev/ordeal/history"
)

// Bucket is what ended in one piece of a test's time.
type Bucket struct {
	// From is where the piece begins, in seconds since the start of the test.
	From float64 `json:"from"`
	// Rates are per second.
	OK   float64 `json:"ok"`
	Fail float64 `json:"fail"`
	Info float64 `json:"info"`
	// Latencies of successful operations, in milliseconds, to within 3 %; 0 without any.
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
}

// Series counts and times operations event by event, in memory that depends on the
// length of the test only: pieces of time that get too many are merged in pairs.
type Series struct {
	width  history.Time
	pieces []piece
	open   map[history.Process]history.Time // calls
	Counts Counts
	last   history.Time
}

// Counts are operations by what is known of them.
type Counts struct {
	OK   int64 `json:"ok"`
	Fail int64 `json:"fail"`
	Info int64 `json:"info"`
	// Open are those that have not ended.
	Open int64 `json:"open"`
}

type piece struct {
	ok, fail, info int64
	latencies      *histogram
}

// piecesMost bounds the pieces; a report of a long test shows as many.
const piecesMost = 600

// NewSeries returns an empty series whose pieces begin with a second.
func NewSeries() *Series {
	return &Series{width: 1e9, open: map[history.Process]history.Time{}}
}

// Add takes the next event.
func (s *Series) Add(e *history.Event) {
	s.last = max(s.last, e.Time)
	if e.Process == history.Nemesis {
		return
	}
	if e.Type == history.Invoke {
		s.open[e.Process] = e.Time
		s.Counts.Open = int64(len(s.open))
		return
	}
	call, known := s.open[e.Process]
	delete(s.open, e.Process)
	s.Counts.Open = int64(len(s.open))
	p := s.piece(e.Time)
	switch e.Type {
	case history.OK:
		s.Counts.OK++
		p.ok++
		if known {
			if p.latencies == nil {
				p.latencies = &histogram{}
			}
			p.latencies.add(int64(e.Time - call))
		}
	case history.Fail:
		s.Counts.Fail++
		p.fail++
	default:
		s.Counts.Info++
		p.info++
	}
}

func (s *Series) piece(t history.Time) *piece {
	for int64(t/s.width) >= piecesMost {
		s.merge()
	}
	for i := len(s.pieces); i <= int(t/s.width); i++ {
		s.pieces = append(s.pieces, piece{})
	}
	return &s.pieces[max(0, int(t/s.width))]
}

// merge makes one piece of two.
func (s *Series) merge() {
	for i := range (len(s.pieces) + 1) / 2 {
		p := s.pieces[2*i]
		if 2*i+1 < len(s.pieces) {
			q := s.pieces[2*i+1]
			p.ok, p.fail, p.info = p.ok+q.ok, p.fail+q.fail, p.info+q.info
			if p.latencies == nil {
				p.latencies = q.latencies
			} else {
				p.latencies.merge(q.latencies)
			}
		}
		s.pieces[i] = p
	}
	s.pieces = s.pieces[:(len(s.pieces)+1)/2]
	s.width *= 2
}

// End returns the time of the last event, in seconds.
func (s *Series) End() float64 { return float64(s.last) / 1e9 }

// Buckets returns what was counted. The last piece is as long as the test went on.
func (s *Series) Buckets() []Bucket {
	all := make([]Bucket, len(s.pieces))
	for i := range s.pieces {
		p := &s.pieces[i]
		from := history.Time(i) * s.width
		length := max(0.05, float64(min(s.width, s.last-from))/1e9)
		all[i] = Bucket{
			From: float64(from) / 1e9, OK: float64(p.ok) / length,
			Fail: float64(p.fail) / length, Info: float64(p.info) / length,
		}
		if p.latencies != nil {
			all[i].P50 = p.latencies.quantile(0.50)
			all[i].P95 = p.latencies.quantile(0.95)
			all[i].P99 = p.latencies.quantile(0.99)
		}
	}
	return all
}

// histogram counts latencies in classes that are at most 1/16 of their value wide.
type histogram struct {
	n       int64
	classes []uint32
}

const classBits = 4

// class numbers the class of a latency: its highest bit, and the four below it.
func class(ns int64) int {
	if ns < 1<<classBits {
		return int(max(0, ns))
	}
	high := bits.Len64(uint64(ns)) - 1
	return high<<classBits + int(ns>>(high-classBits))&(1<<classBits-1)
}

// middle returns a latency in the midst of a class, in ns.
func middle(class int) float64 {
	if class < 1<<classBits {
		return float64(class)
	}
	high := class >> classBits
	low := float64(int64(1)<<classBits+int64(class&(1<<classBits-1))) + 0.5
	return low * math.Exp2(float64(high-classBits))
}

func (h *histogram) add(ns int64) {
	c := class(ns)
	if c >= len(h.classes) {
		h.classes = append(h.classes, make([]uint32, c+1-len(h.classes))...)
	}
	h.classes[c]++
	h.n++
}

func (h *histogram) merge(o *histogram) {
	if o == nil {
		return
	}
	if d := len(o.classes) - len(h.classes); d > 0 {
		h.classes = append(h.classes, make([]uint32, d)...)
	}
	for c, n := range o.classes {
		h.classes[c] += n
	}
	h.n += o.n
}

// quantile returns a latency in milliseconds.
func (h *histogram) quantile(q float64) float64 {
	left := int64(math.Ceil(q * float64(h.n)))
	for c, n := range h.classes {
		if left -= int64(n); left <= 0 && h.n > 0 {
			return middle(c) / 1e6
		}
	}
	return 0
}
