package history

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"unsafe"
)

// registerEvents returns the events of a register workload, n operations of which
// always four are open: reads, writes and cas on keys of 100 operations each.
func registerEvents(n int) []Event {
	const open = 4
	events := make([]Event, 0, 2*n)
	begin := func(i int) Event {
		e := Event{
			Process: Process(i % open),
			Type:    Invoke,
			Key:     Key("k" + strconv.Itoa(i/100)),
		}
		switch i % 3 {
		case 0:
			e.F = "read"
		case 1:
			e.F, e.Value = "write", Int(int64(i%5))
		case 2:
			e.F, e.Value = "cas", Pair(int64(i%5), int64(i%4))
		}
		return e
	}
	end := func(i int) Event {
		e := begin(i)
		e.Type, e.Value = OK, Nil()
		switch {
		case e.F == "read":
			e.Value = Int(int64(i % 5))
		case e.F == "cas" && i%2 == 0:
			e.Type, e.Error = Fail, "precondition-failed"
		case i%1000 == 7:
			e.Type, e.Error = Info, "timeout: no answer within 1s"
		}
		return e
	}
	for i := range n + open {
		if i >= open {
			events = append(events, end(i-open))
		}
		if i < n {
			events = append(events, begin(i))
		}
	}
	for i := range events {
		events[i].Index, events[i].Time = int64(i), Time(1_000_000_000+i*12_345)
	}
	return events
}

// historyFile returns events as the bytes of a file.
func historyFile(events []Event) []byte {
	b := []byte(`{"ordeal":"history","format":1,"test":"bench","seed":1}` + "\n")
	for i := range events {
		b = append(events[i].AppendJSON(b), '\n')
	}
	return b
}

func BenchmarkEncode(b *testing.B) {
	events := registerEvents(50_000)
	var buf []byte
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		buf = buf[:0]
		for i := range events {
			buf = append(events[i].AppendJSON(buf), '\n')
		}
		n += len(events)
	}
	b.SetBytes(int64(len(buf)))
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
}

func BenchmarkDecode(b *testing.B) {
	events := registerEvents(50_000)
	file := historyFile(events)
	b.ReportAllocs()
	b.SetBytes(int64(len(file)))
	n := 0
	for b.Loop() {
		h, err := Read(bytes.NewReader(file), "bench")
		if err != nil || len(h.Ops) != 50_000 {
			b.Fatal(len(h.Ops), err)
		}
		n += len(events)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkLoad includes the disk and the count of operations.
func BenchmarkLoad(b *testing.B) {
	path := filepath.Join(b.TempDir(), FileName)
	if err := os.WriteFile(path, historyFile(registerEvents(200_000)), 0o644); err != nil {
		b.Fatal(err)
	}
	n := 0
	for b.Loop() {
		h, err := Load(path)
		if err != nil {
			b.Fatal(err)
		}
		n += 2 * len(h.Ops)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkRecord is the cost of one Record as a worker sees it, with the merger
// writing to a real file at the same time. The metric events/s counts until
// everything is on the disk.
func BenchmarkRecord(b *testing.B) {
	for _, workers := range []int{1, 2, 4, 8, 16} {
		b.Run(fmt.Sprint("workers=", workers), func(b *testing.B) {
			r, err := Create(filepath.Join(b.TempDir(), FileName), Header{})
			if err != nil {
				b.Fatal(err)
			}
			each := max(1, b.N/workers)
			b.ResetTimer()
			var wg sync.WaitGroup
			for w := range workers {
				wg.Go(func() {
					l := r.NewLog()
					e := Event{Process: Process(w), F: "write", Key: "k1", Value: Int(3)}
					for i := range each {
						e.Type = Type(i % 2)
						l.Record(e)
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			took := b.Elapsed()
			b.StartTimer()
			if err := r.Close(); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			b.ReportMetric(float64(took.Nanoseconds())/float64(each*workers), "ns/record")
			b.ReportMetric(float64(each*workers)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// TestLoadedSize measures the memory that a loaded register operation keeps.
func TestLoadedSize(t *testing.T) {
	const ops, most = 200_000, 150
	if size := unsafe.Sizeof(Operation{}); size > 144 {
		t.Errorf("an operation has %d bytes, want 144 at most", size)
	}
	path := filepath.Join(t.TempDir(), FileName)
	if err := os.WriteFile(path, historyFile(registerEvents(ops)), 0o644); err != nil {
		t.Fatal(err)
	}
	heap := func() int64 {
		runtime.GC()
		runtime.GC() // what the first one only marked for sweeping or finalizing
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	h, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	kept := float64(heap()-before) / ops
	if len(h.Ops) != ops {
		t.Fatalf("%d operations, want %d", len(h.Ops), ops)
	}
	t.Logf("%.1f bytes for each operation", kept)
	if kept > most {
		t.Errorf("an operation keeps %.1f bytes, want %d at most", kept, most)
	}
	runtime.KeepAlive(h)

	// Without a file to count in, the slice grows, and is cut to size in the end.
	for n := 9_000; n < 13_000; n += 1_000 {
		h, err = Read(bytes.NewReader(historyFile(registerEvents(n))), "stream")
		if err != nil || len(h.Ops) != n || cap(h.Ops) > n+n/32 {
			t.Errorf("%d operations have room for %d, %v", len(h.Ops), cap(h.Ops), err)
		}
	}
}
