package agent

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// The kernel maps a page or two of code, the vDSO, into every process: by it programs of
// all languages ask for the time without a system call. A process that changes its copy,
// or has it changed by a debugger, gets a private one. So a jump is written over the first
// bytes of the functions that tell the time of day, to code of ours (vdso_linux_amd64.s)
// in the unused end of the last page, which asks the kernel and bends the answer. Before
// that code stands what bends it, and what undoing takes: the bytes that the jumps replace.
// A child that is forked later inherits all of it, a program that is started does not.

// bend is what stands before the code, in the order and with the sizes of the memory.
type bend struct {
	Magic [16]byte
	// Tag tells whose it is: that of the record.
	Tag uint64
	// Page is the address of the vDSO.
	Page uint64
	// Base is when it was set, by the monotonic clock, in nanoseconds. Offset is added to
	// the time; Gain, too, for each nanosecond since Base, in units of 2⁻³². If Period is not
	// 0, Offset comes and goes, each time for that long.
	Base, Offset, Gain, Period int64
	// Patches are the functions; unused ones are zero.
	Patches [3]patch
}

// patch is a function over which a jump was written.
type patch struct {
	// At is where in the image, Code where the jump goes to.
	At, Code uint32
	// Bytes are those that were there, Jump of them were replaced.
	Bytes [8]byte
}

const (
	bendMagic = "ordeal bends it\n"
	bendSize  = int(unsafe.Sizeof(bend{}))
	jumpSize  = 5
	codeAlign = 16
)

func clockCode() (gettime, timeofday, second unsafe.Pointer)

func callGettime(code unsafe.Pointer, clock int64) (seconds, nanoseconds int64)

// codeOf copies the code of a function up to its end mark, and finds where in it the
// address of its data belongs.
func codeOf(start unsafe.Pointer) (code []byte, data int, err error) {
	const most = 512
	all := unsafe.Slice((*byte)(start), most)
	mark := binary.LittleEndian.AppendUint32(nil, 0x6c646561)
	mark = binary.LittleEndian.AppendUint32(mark, 0x646e652d)
	place := binary.LittleEndian.AppendUint64(nil, 0x6f72646561c10c4b)
	n := bytes.Index(all, mark)
	if n < 0 {
		return nil, 0, errors.New("the code that tells a bent time has no end")
	}
	code = slices.Clone(all[:n])
	data = bytes.Index(code, place)
	if data < 0 || bytes.Count(code, place) != 1 {
		return nil, 0, errors.New("the code that tells a bent time has no data")
	}
	return code, data, nil
}

// vdso is the image of a process's vDSO.
type vdso struct {
	base  uint64
	image []byte
	// file is the ELF file as the kernel made it.
	file *elf.File
}

var errNoVDSO = errors.New("has no vDSO: its clock cannot be reached")

// readVDSO reads that of a process.
func (p procFS) readVDSO(pid int) (*vdso, error) {
	maps, err := p.read(pid, "maps")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(maps)) {
		if !strings.HasSuffix(line, "[vdso]\n") {
			continue
		}
		from, rest, _ := strings.Cut(line, "-")
		to, _, _ := strings.Cut(rest, " ")
		low, err := strconv.ParseUint(from, 16, 64)
		high, err2 := strconv.ParseUint(to, 16, 64)
		if err := errors.Join(err, err2); err != nil || high < low || high-low > 1<<20 {
			return nil, fmt.Errorf("process %d: map %q: %w", pid, line, err)
		}
		v := &vdso{base: low, image: make([]byte, high-low)}
		if err := p.readMemory(pid, v.image, low); err != nil {
			return nil, err
		}
		v.file, err = elf.NewFile(bytes.NewReader(v.image))
		if err != nil {
			return nil, fmt.Errorf("process %d: vDSO: %w", pid, err)
		}
		return v, nil
	}
	return nil, fmt.Errorf("process %d %w", pid, errNoVDSO)
}

// readMemory fills b from an address of a process.
func (p procFS) readMemory(pid int, b []byte, at uint64) error {
	f, err := os.Open(filepath.Join(string(p), strconv.Itoa(pid), "mem"))
	if errors.Is(err, os.ErrNotExist) {
		return errNoProcess
	}
	if err != nil {
		return err
	}
	_, err = f.ReadAt(b, int64(at))
	if errors.Is(err, io.EOF) {
		err = errNoProcess // its memory is gone
	}
	return errors.Join(err, f.Close())
}

// free is where the unused end of the image begins.
func (v *vdso) free() int {
	used := len(bytes.TrimRight(v.image, "\x00"))
	for _, s := range v.file.Progs {
		if s.Type == elf.PT_LOAD {
			used = max(used, int(s.Off+s.Memsz))
		}
	}
	return (used + codeAlign - 1) / codeAlign * codeAlign
}

// bent returns what bends this process's time of day, and where it stands; nil: nothing.
func (v *vdso) bent() (*bend, int, error) {
	at := bytes.Index(v.image, []byte(bendMagic))
	if at < 0 {
		return nil, 0, nil
	}
	b := &bend{}
	if _, err := binary.Decode(v.image[at:], binary.LittleEndian, b); err != nil {
		return nil, 0, fmt.Errorf("what bends a clock: %w", err)
	}
	for _, p := range b.Patches {
		if int(p.At)+jumpSize > at || int(p.Code) >= len(v.image) {
			return nil, 0, errors.New("what bends a clock is damaged")
		}
	}
	return b, at, nil
}

// write is bytes to be written into a process.
type write struct {
	at    int // in the image
	bytes []byte
}

// functions are those of a vDSO that tell the time of day, and the code for each.
func functions() []struct {
	name string
	code unsafe.Pointer
} {
	gettime, timeofday, second := clockCode()
	return []struct {
		name string
		code unsafe.Pointer
	}{
		{"__vdso_clock_gettime", gettime}, {"__vdso_gettimeofday", timeofday},
		{"__vdso_time", second},
	}
}

// bendBy says what to write, in this order, so that the image tells a bent time.
func (v *vdso) bendBy(b bend) ([]write, error) {
	if v.file.Machine != elf.EM_X86_64 {
		return nil, fmt.Errorf("its vDSO is for %v: only programs for x86-64 are reached",
			v.file.Machine)
	}
	symbols, err := v.file.DynamicSymbols()
	if err != nil {
		return nil, fmt.Errorf("symbols of the vDSO: %w", err)
	}
	at := v.free()
	end := at + bendSize
	copy(b.Magic[:], bendMagic)
	b.Page = v.base
	var codes, jumps []write
	for i, f := range functions() {
		s := slices.IndexFunc(symbols, func(s elf.Symbol) bool { return s.Name == f.name })
		if s < 0 || symbols[s].Size < jumpSize || int(symbols[s].Value) > at {
			return nil, fmt.Errorf("the vDSO has no %s", f.name)
		}
		code, data, err := codeOf(f.code)
		if err != nil {
			return nil, err
		}
		binary.LittleEndian.PutUint64(code[data:], v.base+uint64(at))
		end = (end + codeAlign - 1) / codeAlign * codeAlign
		p := patch{At: uint32(symbols[s].Value), Code: uint32(end)}
		copy(p.Bytes[:], v.image[p.At:])
		b.Patches[i] = p
		codes = append(codes, write{end, code})
		jumps = append(jumps, write{int(p.At), p.jump()})
		end += len(code)
	}
	if end > len(v.image) {
		return nil, fmt.Errorf("the vDSO has %d bytes unused, %d are needed", len(v.image)-at, end-at)
	}
	head, err := b.bytes()
	if err != nil {
		return nil, err
	}
	return slices.Concat([]write{{at, head}}, codes, jumps), nil
}

func (b bend) bytes() ([]byte, error) {
	return binary.Append(nil, binary.LittleEndian, b)
}

// jump is the instruction that leads to the code.
func (p patch) jump() []byte {
	j := []byte{0xe9, 0, 0, 0, 0}
	binary.LittleEndian.PutUint32(j[1:], p.Code-p.At-jumpSize)
	return j
}

// straighten says what to write so that the jumps are gone.
func (b *bend) straighten() []write {
	var writes []write
	for _, p := range b.Patches {
		writes = append(writes, write{int(p.At), p.Bytes[:jumpSize]})
	}
	return writes
}

// whole fails unless what was read of a process is what was written: the jumps lead to the
// code, and the code is ours.
func (v *vdso) whole() error {
	b, at, err := v.bent()
	if err != nil || b == nil {
		return errors.Join(err, errors.New("its vDSO is as it was"))
	}
	for i, f := range functions() {
		code, data, err := codeOf(f.code)
		if err != nil {
			return err
		}
		binary.LittleEndian.PutUint64(code[data:], v.base+uint64(at))
		p := b.Patches[i]
		if !bytes.HasPrefix(v.image[p.Code:], code) || !bytes.HasPrefix(v.image[p.At:], p.jump()) {
			return fmt.Errorf("%s of its vDSO is not what was written", f.name)
		}
	}
	return nil
}

// ask runs the code that was read of a process, with its data, and returns how far the
// time of day that it tells is ahead. It has to be whole.
func (v *vdso) ask() (ahead []time.Duration, err error) {
	b, at, err := v.bent()
	if err != nil {
		return nil, err
	}
	memory, err := syscall.Mmap(-1, 0, len(v.image), syscall.PROT_READ|syscall.PROT_WRITE,
		syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("memory for its code: %w", err)
	}
	defer func() { err = errors.Join(err, syscall.Munmap(memory)) }()
	copy(memory, v.image)
	code, data, err := codeOf(functions()[0].code)
	if err != nil {
		return nil, err
	}
	start := int(b.Patches[0].Code)
	copy(memory[start:], code)
	binary.LittleEndian.PutUint64(memory[start+data:], uint64(uintptr(unsafe.Pointer(&memory[at]))))
	if err := syscall.Mprotect(memory, syscall.PROT_READ|syscall.PROT_EXEC); err != nil {
		return nil, fmt.Errorf("run its code: %w", err)
	}
	const looks = 24
	for i := range looks {
		before := clockNow(clockRealtime)
		seconds, nanos := callGettime(unsafe.Pointer(&memory[start]), clockRealtime)
		after := clockNow(clockRealtime)
		ahead = append(ahead, time.Duration(seconds*1e9+nanos-before/2-after/2))
		if b.Period == 0 {
			break
		}
		if i+1 < looks {
			<-time.After(time.Duration(b.Period) / 8)
		}
	}
	return ahead, nil
}

const (
	clockRealtime  = 0
	clockMonotonic = 1
)

// clockNow asks the kernel itself, in nanoseconds.
func clockNow(clock int) int64 {
	var t syscall.Timespec
	if _, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, uintptr(clock),
		uintptr(unsafe.Pointer(&t)), 0); errno != 0 {
		return 0
	}
	return t.Nano()
}
