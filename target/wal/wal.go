// Package wal is the durable memory of one node: a write-ahead log with
// checkpoints and a counter of starts, over a small file layer that tests and
// planted faults can replace.
//
// A directory holds three files. The log "log-N" has the records written since
// checkpoint N; "checkpoint-N" has the state that they go on from (there is none
// for N = 0); "epoch" counts the starts. A checkpoint is written beside the old
// pair, and the rename that gives it its name is the moment at which the new pair
// counts:
//
//	write checkpoint.tmp, sync            a crash here: the old pair; the rest is swept
//	create log-N+1, sync, sync directory  the same; log-N+1 holds no record yet
//	rename to checkpoint-N+1
//	sync directory                        from here on: the new pair
//	remove log-N, checkpoint-N            a crash before: swept at the next start
//
// # What a damaged log means
//
// Each Append is one frame with checksums. A bad frame with nothing behind it is
// a torn tail: it was being written when the power went, nobody was told of its
// records, and Open cuts it off. A bad frame with another frame behind it cannot
// come from a crash, because a frame is written only after the one before it was
// synced: it was durable, others may rely on it, and the disk lost it. Open then
// returns a CorruptError, and the node must not serve: with its suffix cut it
// would deny votes that it gave. The way back, for a protocol that knows it, is to
// fetch the lost part from peers before voting again (Options.Salvage): Open then
// gives what is left and notes the damage in a file of its own, durably, before it
// cuts anything. Every later Open says the same, until Repaired removes the file.
//
// Damage to the very last frame looks exactly like a torn tail and is cut off.
// No checksum can tell the two apart: that takes a second copy of the fact that
// the frame was synced (Alagappan et al., "Protocol-Aware Recovery for
// Consensus-Based Storage", FAST 2018, section 3.3.3).
//
// # Errors
//
// The first error of a write or a sync is final: every later call returns it, and
// the node must stop. After a failed fsync the kernel may have dropped the pages
// and call the next fsync a success (Rebello et al., "Can Applications Recover
// from fsync Failures?", ATC 2020), so there is nothing to retry.
package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
)

// ErrCorrupt is what errors.Is finds in every CorruptError.
var ErrCorrupt = errors.New("corrupt")

// CorruptError says where durable data is damaged or gone.
type CorruptError struct {
	File string
	// Offset is where the damage begins, in bytes.
	Offset int64
	// Reason is what is wrong there.
	Reason error
}

// Error implements error.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s is corrupt at offset %d: %v", e.File, e.Offset, e.Reason)
}

// Is makes the error an ErrCorrupt.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

// Unwrap returns the reason.
func (e *CorruptError) Unwrap() error { return e.Reason }

// Options change how a log is opened. The zero value is right for a node.
type Options struct {
	// CutCorrupt cuts the log at the first bad frame even when others follow.
	// This forgets what the node may have promised: for inspection and for
	// planted bugs. A corrupt checkpoint or epoch is an error all the same.
	CutCorrupt bool
	// Salvage opens a damaged log with what is left of it and says so in
	// Recovered.Damaged. A damaged counter of starts is an error all the same,
	// because ids would be minted a second time.
	Salvage bool
	// Born is where a new log begins to count its starts, in the place of 1: a time at
	// which it is made, say. For nodes whose log may be wiped it has to be greater than
	// all counts of the log before, or ids would be minted a second time.
	Born uint64
	// Flaws are for planted bugs.
	Flaws Flaws
}

// Flaws are mistakes that a log can be made to commit, for planted bugs.
type Flaws struct {
	// NoChecksums believes every frame whose length is plausible, so that a torn
	// tail is taken for records.
	NoChecksums bool
	// RetrySync takes the success of a second sync for the first one's.
	RetrySync bool
	// IgnoreFull goes on behind what a full disk has left of a frame.
	IgnoreFull bool
	// CutFirst removes the old log before the new checkpoint is durable, and opens
	// whatever a crash leaves of the two.
	CutFirst bool
}

// Recovered is what Open found.
type Recovered struct {
	// Checkpoint is the last one, nil if there was none.
	Checkpoint []byte
	// Records are those after the checkpoint, in the order of their Append.
	Records [][]byte
	// Epoch counts the starts, this one included: 1 the first time, or Options.Born. It
	// is durable.
	Epoch uint64
	// Cut is the number of bytes cut off the end of the log.
	Cut int64
	// Damaged says that something durable was lost, now or at an earlier start,
	// and has not been repaired: what is here is not all that the node promised.
	Damaged bool
}

// Log is an open write-ahead log. It is not for concurrent use.
type Log struct {
	fs     FS
	dir    string
	number uint64 // of the checkpoint and the log behind it
	file   File
	offset int64 // of the next frame
	buf    []byte
	flaws  Flaws
	err    error // the first failure; final
}

// Open opens the log in dir, making an empty one in an empty directory, and
// counts the start. Everything in Recovered is durable when it returns, also what
// an earlier process wrote and never synced. A damaged log is a CorruptError.
func Open(fs FS, dir string, opts Options) (*Log, Recovered, error) {
	l := &Log{fs: fs, dir: dir, flaws: opts.Flaws}
	rec, err := l.open(opts)
	if err != nil {
		if l.file != nil {
			l.file.Close()
		}
		return nil, Recovered{}, fmt.Errorf("open log in %s: %w", dir, err)
	}
	return l, rec, nil
}

func (l *Log) open(opts Options) (Recovered, error) {
	if err := l.fs.MkdirAll(l.dir); err != nil {
		return Recovered{}, err
	}
	// A predecessor that was killed may have left names that are not durable;
	// nothing may be built on them, least of all the removal of older files.
	if err := l.fs.SyncDir(l.dir); err != nil {
		return Recovered{}, err
	}
	found, err := scan(l.fs, l.dir)
	if err != nil {
		return Recovered{}, err
	}
	rec := Recovered{Damaged: found.damaged}
	if err := l.recover(found, opts, &rec); err != nil {
		if !opts.Salvage && !opts.Flaws.CutFirst || !errors.Is(err, ErrCorrupt) {
			return Recovered{}, err
		}
		// Whoever cuts first also starts with whatever is left.
		if err := l.salvage(found, &rec, opts.Salvage); err != nil {
			return Recovered{}, err
		}
	}
	started := rec.Damaged || rec.Checkpoint != nil || len(rec.Records) > 0
	if rec.Epoch, err = countStart(l.fs, l.dir, started, opts.Born); err != nil {
		return Recovered{}, err
	}
	return rec, nil
}

// recover reads the newest checkpoint and the log behind it, leaves the log open
// for appending, and removes what crashes left behind.
func (l *Log) recover(found files, opts Options, rec *Recovered) error {
	if l.number = found.newest(); l.number > 0 {
		var err error
		if rec.Checkpoint, err = l.readCheckpoint(); err != nil {
			return err
		}
	}
	if err := l.recoverSegment(found, opts, rec); err != nil {
		return err
	}
	return l.sweep(found)
}

func (l *Log) readCheckpoint() ([]byte, error) {
	name := checkpointName(l.dir, l.number)
	file, err := l.fs.ReadFile(name)
	if err != nil {
		return nil, err
	}
	state, err := decodeCheckpoint(file, l.number)
	if err != nil {
		return nil, &CorruptError{File: name, Reason: err}
	}
	return state, nil
}

var (
	errGone    = errors.New("the file is gone")
	errHeader  = errors.New("the header is damaged")
	errBehind  = errors.New("a bad record with others behind it")
	errOrphans = errors.New("the checkpoint that these records follow is gone")
)

// recoverSegment reads the log of l.number, leaves it open for appending and
// puts what it found into rec.
func (l *Log) recoverSegment(found files, opts Options, rec *Recovered) error {
	name := segmentName(l.dir, l.number)
	// Only the very first start may find no log, or one whose header is not
	// whole: every later one begins its log before anything points to it.
	first := l.number == 0 && !found.epoch
	if !found.segments[l.number] {
		if !first {
			return &CorruptError{File: name, Reason: errGone}
		}
		return l.createSegment()
	}
	segment, err := l.fs.ReadFile(name)
	if err != nil {
		return err
	}
	if !headerFits(segment, l.number) {
		if first && len(segment) <= segmentHeader {
			return l.createSegment()
		}
		return &CorruptError{File: name, Reason: errHeader}
	}
	end := int64(segmentHeader)
	for end < int64(len(segment)) {
		records, next, err := parseFrame(segment, l.number, end)
		if err != nil && l.flaws.NoChecksums {
			records, next, err = guessFrame(segment, end)
		}
		if err != nil {
			if frameBehind(segment, l.number, end) && !opts.CutCorrupt {
				return &CorruptError{File: name, Offset: end, Reason: errBehind}
			}
			break
		}
		rec.Records = append(rec.Records, records...)
		end = next
	}
	rec.Cut = int64(len(segment)) - end
	return l.reopenSegment(name, end, rec.Cut > 0)
}

// reopenSegment opens the log for appending at end. It syncs in any case: what
// was read may have come from the page cache of a predecessor that was killed
// between write and sync, and the node is about to act on it.
func (l *Log) reopenSegment(name string, end int64, cut bool) error {
	file, err := l.fs.Append(name)
	if err != nil {
		return err
	}
	l.file, l.offset = file, end
	if cut {
		if err := file.Truncate(end); err != nil {
			return err
		}
	}
	return file.Sync()
}

// createSegment begins the log of l.number and makes it durable.
func (l *Log) createSegment() error {
	file, err := l.fs.Create(segmentName(l.dir, l.number))
	if err != nil {
		return err
	}
	l.file, l.offset = file, int64(segmentHeader)
	if _, err := file.Write(appendSegmentHeader(nil, l.number)); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	return l.fs.SyncDir(l.dir)
}

func headerFits(segment []byte, number uint64) bool {
	return len(segment) >= segmentHeader &&
		string(segment[:segmentHeader]) == string(appendSegmentHeader(nil, number))
}

// sweep removes what crashes left behind: older pairs, temporary files, and logs
// whose checkpoint never got its name.
func (l *Log) sweep(found files) error {
	for n := range found.segments {
		if n <= l.number {
			continue
		}
		name := segmentName(l.dir, n)
		segment, err := l.fs.ReadFile(name)
		if err != nil {
			return err
		}
		if frameBehind(segment, n, int64(segmentHeader)-1) {
			return &CorruptError{File: name, Offset: int64(segmentHeader), Reason: errOrphans}
		}
	}
	for _, name := range found.stale(l.number) {
		if err := l.fs.Remove(filepath.Join(l.dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// Append writes the records as one group: after a crash they are found again all
// or none. They are durable after the next Sync. The log does not keep records.
//
// Sync before the next Append. Of two unsynced groups a power cut may keep only
// the second, and then the first looks like corruption.
func (l *Log) Append(records ...[]byte) error {
	if l.err != nil || len(records) == 0 {
		return l.err
	}
	l.buf = appendFrame(l.buf[:0], l.number, l.offset, records)
	if len(l.buf) > maxFrame {
		return l.failed("append", fmt.Errorf("%d bytes at once, more than %d",
			len(l.buf), maxFrame))
	}
	n, err := l.file.Write(l.buf)
	if err != nil && !l.flaws.IgnoreFull {
		return l.failed("append", err)
	}
	l.offset += int64(n)
	return nil
}

// Sync makes everything appended durable.
func (l *Log) Sync() error {
	if l.err != nil {
		return l.err
	}
	err := l.file.Sync()
	if err != nil && l.flaws.RetrySync {
		err = l.file.Sync()
	}
	if err != nil {
		return l.failed("sync", err)
	}
	return nil
}

// Checkpoint replaces everything before it by state and cuts the log. It is
// durable when Checkpoint returns.
func (l *Log) Checkpoint(state []byte) error {
	if l.err != nil {
		return l.err
	}
	if err := l.checkpoint(state); err != nil {
		return l.failed("checkpoint", err)
	}
	return nil
}

func (l *Log) checkpoint(state []byte) error {
	old, oldFile := l.number, l.file
	if l.flaws.CutFirst {
		return l.checkpointCarelessly(state)
	}
	temporary := filepath.Join(l.dir, checkpointTemp)
	if err := writeFile(l.fs, temporary, encodeCheckpoint(old+1, state)); err != nil {
		return err
	}
	l.number++
	if err := l.createSegment(); err != nil {
		return err
	}
	if err := l.fs.Rename(temporary, checkpointName(l.dir, l.number)); err != nil {
		return err
	}
	if err := l.fs.SyncDir(l.dir); err != nil {
		return err
	}
	// The removals need no sync: what they leave is swept at the next start.
	if err := oldFile.Close(); err != nil {
		return err
	}
	if err := l.fs.Remove(segmentName(l.dir, old)); err != nil {
		return err
	}
	if old == 0 {
		return nil
	}
	return l.fs.Remove(checkpointName(l.dir, old))
}

// Close closes the log without syncing it. Closing twice is no error.
func (l *Log) Close() error {
	if l.file == nil {
		return nil
	}
	file := l.file
	l.file = nil
	if l.err == nil {
		l.err = errors.New("log is closed")
	}
	return file.Close()
}

func (l *Log) failed(op string, err error) error {
	l.err = fmt.Errorf("%s log in %s: %w", op, l.dir, err)
	return l.err
}

// writeFile writes a whole file and syncs it, but not its name.
func writeFile(fs FS, name string, content []byte) error {
	f, err := fs.Create(name)
	if err != nil {
		return err
	}
	if _, err := f.Write(content); err != nil {
		f.Close()
		return err
	}
	if err := f.Sync(); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// countStart reads the counter of starts, adds one and makes it durable.
func countStart(fs FS, dir string, started bool, born uint64) (uint64, error) {
	name := filepath.Join(dir, epochName)
	epoch, err := readEpoch(fs, name)
	if err != nil {
		return 0, err
	}
	if epoch == 0 && started {
		// Counting from 1 again would mint ids a second time.
		return 0, &CorruptError{File: name, Reason: errGone}
	}
	if epoch == 0 && born > 0 {
		epoch = born - 1
	}
	epoch++
	content := binary.LittleEndian.AppendUint64(nil, epoch)
	sum := crc32.Checksum(content, castagnoli)
	content = binary.LittleEndian.AppendUint32(content, sum)
	if err := writeFile(fs, filepath.Join(dir, epochTemp), content); err != nil {
		return 0, err
	}
	if err := fs.Rename(filepath.Join(dir, epochTemp), name); err != nil {
		return 0, err
	}
	return epoch, fs.SyncDir(dir)
}
