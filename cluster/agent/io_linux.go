package agent

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// batchPackets and batchBytes bound what is read and decided in one go.
	batchPackets = 64
	batchBytes   = 1 << 20
	// flushBytes is when verdicts are sent although the batch goes on.
	flushBytes = 64 << 10
)

// kernelIO is a packetIO that talks to the kernel.
type kernelIO struct {
	number uint16
	file   *os.File
	conn   syscall.RawConn
	raw    *rawSender
	arena  []byte
	batch  []arrival
	out    []byte // verdicts that were not sent yet
	outErr error
	last   uint32 // number of the newest packet
	gaps   atomic.Int64
}

// openPacketIO binds queue and opens the sockets for the agent's own packets.
func openPacketIO(queue uint16, mark uint32) (packetIO, error) {
	raw, err := openRaw(mark)
	if err != nil {
		return nil, err
	}
	f, err := openQueue(queue)
	if err != nil {
		return nil, errors.Join(err, raw.close())
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, raw.close(), f.Close())
	}
	return &kernelIO{
		number: queue, file: f, conn: conn, raw: raw, arena: make([]byte, batchBytes),
	}, nil
}

// read waits for packets and returns all that have come, up to a batch.
func (k *kernelIO) read() ([]arrival, error) {
	var readErr error
	err := k.conn.Read(func(fd uintptr) bool {
		readErr = k.fill(int(fd))
		return readErr != nil || len(k.batch) > 0
	})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, nil
	}
	if err = errors.Join(err, readErr); err != nil {
		return nil, fmt.Errorf("read queue %d: %w", k.number, err)
	}
	return k.batch, nil
}

func (k *kernelIO) interrupt() error { return k.file.SetReadDeadline(time.Unix(1, 0)) }

func (k *kernelIO) drain() ([]arrival, error) {
	var readErr error
	err := k.conn.Control(func(fd uintptr) { readErr = k.fill(int(fd)) })
	return k.batch, errors.Join(err, readErr)
}

// fill reads a batch without waiting.
func (k *kernelIO) fill(fd int) error {
	k.batch = k.batch[:0]
	for used := 0; len(k.batch) < batchPackets && len(k.arena)-used >= maxCopy+1024; {
		n, err := syscall.Read(fd, k.arena[used:])
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN):
			return nil
		case err != nil:
			return err
		}
		if a, ok := parseArrival(k.arena[used : used+n : used+n]); ok {
			k.note(a.id)
			k.batch = append(k.batch, a)
			used += n
		}
	}
	return nil
}

// note looks for gaps in the packets' numbers.
func (k *kernelIO) note(id uint32) {
	if k.last != 0 {
		k.gaps.Add(int64(id - k.last - 1))
	}
	k.last = id
}

func (k *kernelIO) missed() int64 { return k.gaps.Load() }

func (k *kernelIO) Accept(id uint32) { k.put(id, verdictAccept, nil) }
func (k *kernelIO) Drop(id uint32)   { k.put(id, verdictDrop, nil) }

func (k *kernelIO) Replace(id uint32, data []byte) { k.put(id, verdictAccept, data) }

func (k *kernelIO) put(id, what uint32, data []byte) {
	k.out = verdict(k.out, k.number, id, what, data)
	if len(k.out) >= flushBytes {
		k.outErr = errors.Join(k.outErr, k.flush())
	}
}

// Inject sends a packet after the verdicts before it.
func (k *kernelIO) Inject(data []byte, device uint32) bool {
	k.outErr = errors.Join(k.outErr, k.flush())
	return k.raw.send(data, device) == nil
}

// flush sends the verdicts.
func (k *kernelIO) flush() error {
	err := k.outErr
	k.outErr = nil
	if len(k.out) > 0 {
		if _, wrong := k.file.Write(k.out); wrong != nil {
			err = errors.Join(err, fmt.Errorf("send verdicts of queue %d: %w", k.number, wrong))
		}
		k.out = k.out[:0]
	}
	return err
}

func (k *kernelIO) close() error { return errors.Join(k.file.Close(), k.raw.close()) }
