// Command histories writes long list-append histories, to measure how fast they are
// read and checked: transactions of one to four reads and appends by concurrent
// clients, executed one at a time, so that what it writes is strictly serializable.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"

	"github.com/ordeal-dev/ordeal/history"
)

// shape is what a history looks like.
type shape struct {
	txns, clients int
	// keys are in use at a time; one is replaced when its list has length elements.
	keys, length int
	seed         uint64
	edn          bool
}

func main() {
	s := shape{}
	flag.IntVar(&s.txns, "txns", 1_000_000, "transactions")
	flag.IntVar(&s.clients, "clients", 20, "concurrent clients")
	flag.IntVar(&s.keys, "keys", 10, "keys in use at a time")
	flag.IntVar(&s.length, "length", 32, "elements of a list when its key is replaced")
	flag.Uint64Var(&s.seed, "seed", 1, "what decides everything")
	flag.BoolVar(&s.edn, "edn", false, "write Jepsen's EDN instead of this program's JSON lines")
	flag.Parse()
	w := bufio.NewWriterSize(os.Stdout, 1<<20)
	err := s.write(w)
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "histories:", err)
		os.Exit(1)
	}
}

// world is the lists of a database, and what writes the history.
type world struct {
	shape
	rng    *rand.Rand
	active []int64 // keys
	lists  map[int64][]int64
	next   int64
	events int64
	line   []byte
	w      io.Writer
}

func (s shape) write(w io.Writer) error {
	d := &world{shape: s, rng: rand.New(rand.NewPCG(s.seed, 1)), w: w,
		lists: make(map[int64][]int64)}
	for range s.keys {
		d.active, d.next = append(d.active, d.next), d.next+1
	}
	if !s.edn {
		if _, err := fmt.Fprintf(w, `{"ordeal":"history","format":%d,"test":"list-append"}`+"\n",
			history.Format); err != nil {
			return err
		}
	}
	open := make([][]history.Step, s.clients)
	for begun, busy := 0, 0; begun < s.txns || busy > 0; {
		p := d.rng.IntN(s.clients)
		switch {
		case open[p] != nil:
			d.execute(open[p])
			if err := d.event(p, history.OK, open[p]); err != nil {
				return err
			}
			open[p] = nil
			busy--
		case begun < s.txns:
			open[p] = d.txn()
			if err := d.event(p, history.Invoke, open[p]); err != nil {
				return err
			}
			begun, busy = begun+1, busy+1
		}
	}
	return nil
}

// txn makes up a transaction.
func (d *world) txn() []history.Step {
	steps := make([]history.Step, 1+d.rng.IntN(4))
	for i := range steps {
		at := d.rng.IntN(len(d.active))
		key := d.active[at]
		steps[i] = history.Step{F: history.StepRead, Key: history.Key(strconv.FormatInt(key, 10))}
		if d.rng.IntN(2) == 0 {
			continue
		}
		list := append(d.lists[key], int64(len(d.lists[key])+1))
		d.lists[key] = list[:len(list):cap(list)]
		steps[i].F, steps[i].Value = history.StepAppend, history.Int(list[len(list)-1])
		if len(list) >= d.length {
			d.active[at], d.next = d.next, d.next+1
		}
	}
	return steps
}

// execute runs a transaction.
func (d *world) execute(steps []history.Step) {
	for i := range steps {
		s := &steps[i]
		key, _ := strconv.ParseInt(string(s.Key), 10, 64)
		stored := -key - 1 // made-up elements are under key, executed ones under this
		if s.F == history.StepAppend {
			n, _ := s.Value.AsInt()
			d.lists[stored] = append(d.lists[stored], n)
			continue
		}
		s.Value = history.Ints(slices.Clone(d.lists[stored])...)
	}
}

// event writes one event.
func (d *world) event(p int, t history.Type, steps []history.Step) error {
	b := d.line[:0]
	n := d.events
	d.events++
	if d.edn {
		b = fmt.Appendf(b, "{:type :%s, :f :txn, :value ", t)
		b = appendEDN(b, steps)
		b = fmt.Appendf(b, ", :time %d, :process %d, :index %d}\n", n*12_345, p, n)
	} else {
		list := make([]history.Value, len(steps))
		for i, s := range steps {
			key, _ := strconv.ParseInt(string(s.Key), 10, 64)
			list[i] = history.List(history.Str(string(s.F)), history.Int(key), s.Value)
		}
		e := history.Event{Index: n, Time: history.Time(n * 12_345), Process: history.Process(p),
			Type: t, F: "txn", Value: history.List(list...)}
		b = append(e.AppendJSON(b), '\n')
	}
	d.line = b
	_, err := d.w.Write(b)
	return err
}

func appendEDN(b []byte, steps []history.Step) []byte {
	b = append(b, '[')
	for i, s := range steps {
		if i > 0 {
			b = append(b, ' ')
		}
		b = fmt.Appendf(b, "[:%s %s ", s.F, s.Key)
		switch {
		case s.Value.IsNil():
			b = append(b, "nil"...)
		case s.F == history.StepAppend:
			b = append(b, s.Value.String()...)
		default:
			b = append(b, '[')
			for j := range s.Value.Len() {
				if j > 0 {
					b = append(b, ' ')
				}
				b = append(b, s.Value.At(j).String()...)
			}
			b = append(b, ']')
		}
		b = append(b, ']')
	}
	return append(b, ']')
}
