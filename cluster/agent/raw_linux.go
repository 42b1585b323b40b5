package agent

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

const ipprotoRaw = 255

// rawSender sends whole IP packets, marked so that they do not come back to the queue.
type rawSender struct {
	v4, v6 int
	mtu    map[uint32]int // of the network interfaces used so far
	id     uint32         // of the last packet that was cut into pieces
}

func openRaw(mark uint32) (*rawSender, error) {
	r := &rawSender{v4: -1, v6: -1, mtu: make(map[uint32]int)}
	var err error
	if r.v4, err = rawSocket(syscall.AF_INET, mark); err != nil {
		return nil, err
	}
	// A node without IPv6 has no IPv6 packets.
	r.v6, err = rawSocket(syscall.AF_INET6, mark)
	if err != nil && !errors.Is(err, syscall.EAFNOSUPPORT) {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

func rawSocket(family int, mark uint32) (int, error) {
	fd, err := syscall.Socket(family,
		syscall.SOCK_RAW|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, ipprotoRaw)
	if err != nil {
		return -1, fmt.Errorf("open a raw socket: %w", err)
	}
	setBuffer(fd, soSndBufForce, syscall.SO_SNDBUF, 8<<20)
	err = errors.Join(setMark(fd, mark),
		syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_BROADCAST, 1))
	if err != nil {
		return -1, errors.Join(fmt.Errorf("set up a raw socket: %w", err), syscall.Close(fd))
	}
	return fd, nil
}

func (r *rawSender) close() error {
	var errs []error
	for _, fd := range []int{r.v4, r.v6} {
		if fd >= 0 {
			errs = append(errs, syscall.Close(fd))
		}
	}
	return errors.Join(errs...)
}

// send sends a packet, in pieces where the network is too narrow for it: the kernel
// cuts no packet of a raw socket.
func (r *rawSender) send(data []byte, device uint32) error {
	h, ok := parse(data)
	if !ok {
		return errors.New("no IP packet")
	}
	err := r.sendWhole(data, h, device)
	if !errors.Is(err, syscall.EMSGSIZE) {
		return err
	}
	r.id++
	pieces := fragments(data, r.mtuOf(device), r.id)
	if pieces == nil {
		return err
	}
	for _, p := range pieces {
		if err := r.sendWhole(p, h, device); err != nil {
			return err
		}
	}
	return nil
}

func (r *rawSender) sendWhole(data []byte, h header, device uint32) error {
	var err error
	if h.dst.Is4() {
		err = syscall.Sendto(r.v4, data, 0, &syscall.SockaddrInet4{Addr: h.dst.As4()})
	} else {
		to := &syscall.SockaddrInet6{Addr: h.dst.As16()}
		if h.dst.IsLinkLocalUnicast() || h.dst.IsMulticast() {
			to.ZoneId = device
		}
		err = syscall.Sendto(r.v6, data, 0, to)
	}
	if errors.Is(err, syscall.EPERM) {
		// A rule behind the queue drops it, a partition's say, as it would have dropped
		// the original after its verdict. It went over this link.
		return nil
	}
	return err
}

// mtuOf returns what goes through a network interface at once; 1280 goes through all.
func (r *rawSender) mtuOf(device uint32) int {
	if mtu := r.mtu[device]; mtu > 0 {
		return mtu
	}
	mtu := 1280
	if i, err := net.InterfaceByIndex(int(device)); err == nil {
		mtu = i.MTU
	}
	r.mtu[device] = mtu
	return mtu
}
