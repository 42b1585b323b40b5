package agent

import (
	"encoding/binary"
	"net/netip"
)

// class is what kind of traffic a packet is; a rule means different things to each.
type class uint8

const (
	other   class = iota // ICMP, SCTP, fragments
	message              // a whole UDP datagram
	stream               // a TCP segment
	classes
)

// IP protocol numbers, and the IPv6 extension headers that may stand before them.
const (
	ipHopByHop = 0
	ipTCP      = 6
	ipUDP      = 17
	ipRouting  = 43
	ipFragment = 44
	ipDestOpts = 60
)

const (
	ipv4Header = 20
	ipv6Header = 40
	udpHeader  = 8
	tcpHeader  = 20
)

// header is what is known of a packet.
type header struct {
	class            class
	src, dst         netip.Addr
	srcPort, dstPort uint16
	// transport and payload are where the transport header and what is behind it
	// begin.
	transport, payload int
}

// parse reads the headers of an IP packet. False means that it is none.
func parse(data []byte) (header, bool) {
	if len(data) < ipv4Header {
		return header{}, false
	}
	switch data[0] >> 4 {
	case 4:
		return parse4(data)
	case 6:
		return parse6(data)
	}
	return header{}, false
}

func parse4(data []byte) (header, bool) {
	size := int(data[0]&0xf) * 4
	if size < ipv4Header || len(data) < size {
		return header{}, false
	}
	h := header{
		src:       netip.AddrFrom4([4]byte(data[12:16])),
		dst:       netip.AddrFrom4([4]byte(data[16:20])),
		transport: size, payload: size,
	}
	// More fragments, or not the first.
	if binary.BigEndian.Uint16(data[6:])&0x3fff == 0 {
		h.readTransport(data, data[9])
	}
	return h, true
}

func parse6(data []byte) (header, bool) {
	if len(data) < ipv6Header {
		return header{}, false
	}
	h := header{
		src: netip.AddrFrom16([16]byte(data[8:24])),
		dst: netip.AddrFrom16([16]byte(data[24:40])),
	}
	next, at := data[6], ipv6Header
	for next == ipHopByHop || next == ipRouting || next == ipDestOpts {
		if len(data) < at+8 {
			return header{}, false
		}
		next, at = data[at], at+8+int(data[at+1])*8
	}
	h.transport, h.payload = at, at
	if at > len(data) {
		return header{}, false
	}
	h.readTransport(data, next)
	return h, true
}

// readTransport reads ports and class. What is too short for its protocol is other.
func (h *header) readTransport(data []byte, protocol byte) {
	t := data[h.transport:]
	switch {
	case protocol == ipUDP && len(t) >= udpHeader:
		h.class, h.payload = message, h.transport+udpHeader
	case protocol == ipTCP && len(t) >= tcpHeader && len(t) >= int(t[12]>>4)*4:
		h.class, h.payload = stream, h.transport+int(t[12]>>4)*4
	default:
		return
	}
	h.srcPort = binary.BigEndian.Uint16(t)
	h.dstPort = binary.BigEndian.Uint16(t[2:])
}

// flip returns a copy of a datagram with one bit of its payload flipped, counted as by
// impair.Fate, and a checksum that is right again, so that it reaches the program.
func flip(data []byte, h header, bit int) []byte {
	data = append([]byte(nil), data...)
	data[h.payload+bit/8] ^= 1 << (bit % 8)
	field := data[h.transport+6 : h.transport+8]
	if h.src.Is4() && field[0] == 0 && field[1] == 0 {
		return data // sent without a checksum
	}
	field[0], field[1] = 0, 0
	sum := checksum(h, data[h.transport:])
	if sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(field, sum)
	return data
}

// checksum is that of a datagram with its pseudo header (RFC 768, RFC 8200 8.1).
func checksum(h header, datagram []byte) uint16 {
	src, dst := h.src.AsSlice(), h.dst.AsSlice()
	sum := uint64(ipUDP) + uint64(len(datagram))
	for _, part := range [][]byte{src, dst, datagram} {
		for ; len(part) >= 2; part = part[2:] {
			sum += uint64(part[0])<<8 | uint64(part[1])
		}
		if len(part) == 1 {
			sum += uint64(part[0]) << 8
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// fragments cuts a packet that is too long for a network into pieces of at most mtu
// bytes, as the kernel does for its own packets but not for those of raw sockets. The
// id must be new for each packet. Nil means that this packet cannot be cut.
func fragments(data []byte, mtu int, id uint32) [][]byte {
	h, ok := parse(data)
	if !ok {
		return nil
	}
	if h.src.Is4() {
		return fragments4(data, mtu, uint16(id), int(data[0]&0xf)*4)
	}
	// Only where nothing stands between the IPv6 header and the transport's.
	if h.transport != ipv6Header {
		return nil
	}
	return fragments6(data, mtu, id)
}

func fragments4(data []byte, mtu int, id uint16, size int) [][]byte {
	room := (mtu - size) &^ 7
	if room <= 0 {
		return nil
	}
	if id == 0 {
		id = 1 // the kernel would put one of its own into each piece
	}
	var pieces [][]byte
	body := data[size:]
	for at := 0; at < len(body); at += room {
		end := min(at+room, len(body))
		piece := append(append(make([]byte, 0, size+end-at), data[:size]...), body[at:end]...)
		binary.BigEndian.PutUint16(piece[2:], uint16(len(piece)))
		binary.BigEndian.PutUint16(piece[4:], id)
		offset := uint16(at / 8)
		if end < len(body) {
			offset |= 0x2000
		}
		binary.BigEndian.PutUint16(piece[6:], offset)
		pieces = append(pieces, piece)
	}
	return pieces
}

func fragments6(data []byte, mtu int, id uint32) [][]byte {
	const extension = 8
	room := (mtu - ipv6Header - extension) &^ 7
	if room <= 0 {
		return nil
	}
	var pieces [][]byte
	body := data[ipv6Header:]
	for at := 0; at < len(body); at += room {
		end := min(at+room, len(body))
		piece := make([]byte, ipv6Header+extension, ipv6Header+extension+end-at)
		copy(piece, data[:ipv6Header])
		binary.BigEndian.PutUint16(piece[4:], uint16(extension+end-at))
		piece[6] = ipFragment
		ext := piece[ipv6Header:]
		ext[0] = data[6]
		offset := uint16(at)
		if end < len(body) {
			offset |= 1
		}
		binary.BigEndian.PutUint16(ext[2:], offset)
		binary.BigEndian.PutUint32(ext[4:], id)
		pieces = append(pieces, append(piece, body[at:end]...))
	}
	return pieces
}
