package agent

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"
)

// The kernel's names for NFQUEUE (linux/netfilter/nfnetlink_queue.h), as far as they
// are needed.
const (
	netlinkNetfilter = 12
	subsystemQueue   = 3 << 8

	queuePacket  = subsystemQueue
	queueVerdict = subsystemQueue | 1
	queueConfig  = subsystemQueue | 2

	configCommand = 1
	configParams  = 2
	configMaxLen  = 3
	configMask    = 4
	configFlags   = 5

	commandBind = 1
	copyPacket  = 2
	// flagFailOpen lets packets through when the queue is full.
	flagFailOpen = 1

	attrPacketHeader  = 1
	attrVerdictHeader = 2
	attrMark          = 3
	attrOutDevice     = 6
	attrPayload       = 10
	attrWholeLength   = 13

	verdictDrop   = 0
	verdictAccept = 1

	hookLocalIn = 1

	// maxCopy is the longest packet that fits into a netlink attribute.
	maxCopy = 0xffff - syscall.SizeofNlAttr
	// kernelQueue is how many packets may wait in the kernel. It is more than fit
	// into the socket's buffer, so that what is let through unseen leaves a gap in
	// the packets' numbers; parked ones come on top.
	kernelQueue = 32768

	soRcvBufForce   = 33
	soSndBufForce   = 32
	solNetlink      = 270
	netlinkNoBufErr = 5
)

// native is the machine's byte order, that of netlink's headers.
var native = binary.NativeEndian

// netlinkMessage starts a message to the queue's subsystem in buf; endMessage sets its
// length.
func netlinkMessage(buf []byte, kind, flags uint16, queue uint16) []byte {
	buf = native.AppendUint32(buf, 0) // length
	buf = native.AppendUint16(buf, kind)
	buf = native.AppendUint16(buf, flags)
	buf = native.AppendUint32(buf, 0) // sequence
	buf = native.AppendUint32(buf, 0) // port: the kernel's
	buf = append(buf, syscall.AF_UNSPEC, 0)
	return binary.BigEndian.AppendUint16(buf, queue)
}

func endMessage(buf []byte, start int) []byte {
	native.PutUint32(buf[start:], uint32(len(buf)-start))
	return buf
}

// attribute appends one attribute, padded.
func attribute(buf []byte, kind uint16, value []byte) []byte {
	buf = native.AppendUint16(buf, uint16(syscall.SizeofNlAttr+len(value)))
	buf = native.AppendUint16(buf, kind)
	buf = append(buf, value...)
	for len(buf)%4 != 0 {
		buf = append(buf, 0)
	}
	return buf
}

// openQueue binds an NFQUEUE. It fails when another program holds the number.
func openQueue(number uint16) (*os.File, error) {
	fd, err := syscall.Socket(syscall.AF_NETLINK,
		syscall.SOCK_RAW|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, netlinkNetfilter)
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	f := os.NewFile(uintptr(fd), "nfqueue")
	if err := setUpQueue(fd, number); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func setUpQueue(fd int, number uint16) error {
	if err := syscall.Bind(fd, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}); err != nil {
		return fmt.Errorf("bind netlink: %w", err)
	}
	// Smaller buffers than asked for are no reason to fail.
	setBuffer(fd, soRcvBufForce, syscall.SO_RCVBUF, 8<<20)
	setBuffer(fd, soSndBufForce, syscall.SO_SNDBUF, 1<<20)
	// An overrun shows as a gap in the packets' numbers; an error would say less.
	if err := syscall.SetsockoptInt(fd, solNetlink, netlinkNoBufErr, 1); err != nil {
		return fmt.Errorf("set up netlink: %w", err)
	}
	params := append(binary.BigEndian.AppendUint32(nil, maxCopy), copyPacket)
	flags := binary.BigEndian.AppendUint32(nil, flagFailOpen)
	for _, step := range []struct {
		what  string
		attrs func([]byte) []byte
	}{
		{"bind queue", func(b []byte) []byte {
			return attribute(b, configCommand, []byte{commandBind, 0, 0, 0})
		}},
		{"set the length of queue", func(b []byte) []byte {
			return attribute(b, configMaxLen, binary.BigEndian.AppendUint32(nil, kernelQueue))
		}},
		{"make fail-open queue", func(b []byte) []byte {
			return attribute(attribute(b, configFlags, flags), configMask, flags)
		}},
		{"ask for packets of queue", func(b []byte) []byte {
			return attribute(b, configParams, params)
		}},
	} {
		msg := netlinkMessage(nil, queueConfig, syscall.NLM_F_REQUEST|syscall.NLM_F_ACK, number)
		if err := exchange(fd, number, endMessage(step.attrs(msg), 0)); err != nil {
			return fmt.Errorf("%s %d: %w", step.what, number, err)
		}
	}
	return nil
}

// setBuffer asks for a socket buffer of size bytes; without the right to force that, for
// as much of it as everybody may have.
func setBuffer(fd, force, ask, size int) {
	if syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, force, size) != nil {
		_ = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, ask, size)
	}
}

// exchange sends a message and waits for its acknowledgment, which the kernel has given
// when the call returns. Packets that come before it are let through.
func exchange(fd int, queue uint16, msg []byte) error {
	kernel := &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}
	if err := syscall.Sendto(fd, msg, 0, kernel); err != nil {
		return err
	}
	buf := make([]byte, maxCopy+1024)
	for {
		n, err := syscall.Read(fd, buf)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		if code, ok := acknowledgment(buf[:n]); ok {
			if code != 0 {
				return code
			}
			return nil
		}
		if a, ok := parseArrival(buf[:n]); ok {
			pass := verdict(nil, queue, a.id, verdictAccept, nil)
			if err := syscall.Sendto(fd, pass, 0, kernel); err != nil {
				return err
			}
		}
	}
}

// acknowledgment reads the error that a message carries; false means that it is no
// acknowledgment.
func acknowledgment(msg []byte) (syscall.Errno, bool) {
	if len(msg) < syscall.NLMSG_HDRLEN+4 ||
		native.Uint16(msg[4:]) != syscall.NLMSG_ERROR {
		return 0, false
	}
	return syscall.Errno(-int32(native.Uint32(msg[syscall.NLMSG_HDRLEN:]))), true
}

// parseArrival reads a packet message; the arrival's data is part of msg.
func parseArrival(msg []byte) (arrival, bool) {
	const headers = syscall.NLMSG_HDRLEN + 4
	if len(msg) < headers || native.Uint16(msg[4:]) != queuePacket {
		return arrival{}, false
	}
	a := arrival{direction: Out, whole: true}
	seen := false
	for rest := msg[headers:]; len(rest) >= syscall.SizeofNlAttr; {
		size := int(native.Uint16(rest))
		if size < syscall.SizeofNlAttr || size > len(rest) {
			break
		}
		value := rest[syscall.SizeofNlAttr:size]
		switch kind := native.Uint16(rest[2:]) & 0x3fff; {
		case kind == attrPacketHeader && len(value) >= 7:
			a.id, seen = binary.BigEndian.Uint32(value), true
			if value[6] == hookLocalIn {
				a.direction = In
			}
		case kind == attrMark && len(value) >= 4:
			a.probe = binary.BigEndian.Uint32(value) == ProbeMark
		case kind == attrOutDevice && len(value) >= 4:
			a.device = binary.BigEndian.Uint32(value)
		case kind == attrWholeLength:
			a.whole = false
		case kind == attrPayload:
			a.data = value
		}
		rest = rest[min(len(rest), (size+3)&^3):]
	}
	return a, seen
}

// verdict appends a verdict message; data nil leaves the packet as it is.
func verdict(buf []byte, queue uint16, id, verdict uint32, data []byte) []byte {
	start := len(buf)
	buf = netlinkMessage(buf, queueVerdict, syscall.NLM_F_REQUEST, queue)
	var header [8]byte
	binary.BigEndian.PutUint32(header[:], verdict)
	binary.BigEndian.PutUint32(header[4:], id)
	buf = attribute(buf, attrVerdictHeader, header[:])
	if data != nil {
		buf = attribute(buf, attrPayload, data)
	}
	return endMessage(buf, start)
}
