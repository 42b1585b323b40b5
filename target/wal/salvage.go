package wal

import (
	"encoding/binary"
	"path/filepath"
	"slices"
)

// salvage keeps what can be read of a damaged log: the newest checkpoint, if it is
// whole, and the records behind it as far as they are. It notes the damage before
// it cuts anything off, if it is to be known at all, because the next start finds a
// log that looks whole. A crash in the middle leaves what the next start salvages.
func (l *Log) salvage(found files, rec *Recovered, note bool) error {
	if l.file != nil {
		if err := l.file.Close(); err != nil {
			return err
		}
		l.file = nil
	}
	if note {
		if err := writeFile(l.fs, filepath.Join(l.dir, damageName), nil); err != nil {
			return err
		}
		if err := l.fs.SyncDir(l.dir); err != nil {
			return err
		}
	}
	*rec = Recovered{Damaged: note, Checkpoint: rec.Checkpoint}
	if rec.Checkpoint == nil {
		l.number = 0 // without its checkpoint a log means nothing
	}
	if err := l.salvageSegment(found, rec); err != nil {
		return err
	}
	for _, name := range found.stale(l.number) {
		if err := l.fs.Remove(filepath.Join(l.dir, name)); err != nil {
			return err
		}
	}
	return l.fs.SyncDir(l.dir)
}

// salvageSegment opens the log of l.number, cut off at its first bad frame, or a
// fresh one when nothing in it can be read.
func (l *Log) salvageSegment(found files, rec *Recovered) error {
	if !found.segments[l.number] {
		return l.createSegment()
	}
	segment, err := l.fs.ReadFile(segmentName(l.dir, l.number))
	if err != nil {
		return err
	}
	if !headerFits(segment, l.number) {
		return l.createSegment()
	}
	return l.recoverSegment(found, Options{CutCorrupt: true}, rec)
}

// Repaired says that the node has got back what the damage took away. It is
// durable when Repaired returns; an undamaged log is left alone.
func (l *Log) Repaired() error {
	if l.err != nil {
		return l.err
	}
	names, err := l.fs.List(l.dir)
	if err != nil {
		return l.failed("repair", err)
	}
	if !slices.Contains(names, damageName) {
		return nil
	}
	if err := l.fs.Remove(filepath.Join(l.dir, damageName)); err != nil {
		return l.failed("repair", err)
	}
	if err := l.fs.SyncDir(l.dir); err != nil {
		return l.failed("repair", err)
	}
	return nil
}

// guessFrame is parseFrame for the flaw NoChecksums: it believes the length and
// takes whatever follows for records.
func guessFrame(segment []byte, offset int64) ([][]byte, int64, error) {
	rest := segment[offset:]
	if len(rest) < frameHeader {
		return nil, 0, errShort
	}
	length := int(binary.LittleEndian.Uint32(rest))
	body := rest[frameHeader:]
	if length == 0 || length > maxFrame {
		return nil, 0, errShort
	}
	// What the file lacks reads as zeros, as blocks do that were never written.
	body = append(slices.Clone(body[:min(length, len(body))]),
		make([]byte, max(0, length-len(body)))...)
	var records [][]byte
	for len(body) > 0 {
		n, used := binary.Uvarint(body)
		if used <= 0 || n == 0 || n > uint64(len(body)-used) {
			break
		}
		end := used + int(n)
		records = append(records, body[used:end:end])
		body = body[end:]
	}
	return records, min(offset+frameHeader+int64(length), int64(len(segment))), nil
}

// checkpointCarelessly is checkpoint with the flaw CutFirst: the old log goes
// first, and the new checkpoint gets its name before its content is synced.
func (l *Log) checkpointCarelessly(state []byte) error {
	old, oldFile := l.number, l.file
	if err := oldFile.Close(); err != nil {
		return err
	}
	if err := l.fs.Remove(segmentName(l.dir, old)); err != nil {
		return err
	}
	if err := l.fs.SyncDir(l.dir); err != nil {
		return err
	}
	l.number++
	if err := l.createSegment(); err != nil {
		return err
	}
	f, err := l.fs.Create(checkpointName(l.dir, l.number))
	if err != nil {
		return err
	}
	if _, err := f.Write(encodeCheckpoint(l.number, state)); err != nil {
		return err
	}
	if old > 0 {
		return l.fs.Remove(checkpointName(l.dir, old))
	}
	return nil
}
