package agent

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestParse(t *testing.T) {
	options := datagram(here, peer, []byte("x"))
	options = slices.Concat(options[:20], []byte{1, 1, 1, 1}, options[20:])
	options[0] = 0x46
	extended := packet(here6, peer6, ipHopByHop, nil)
	extended = append(extended, ipDestOpts, 1)
	extended = append(extended, make([]byte, 14)...)
	extended = append(extended, ipUDP, 0, 0, 0, 0, 0, 0, 0)
	extended = append(extended, datagram(here6, peer6, []byte("x"))[ipv6Header:]...)
	second := datagram(here, peer, []byte("x"))
	second[7] = 5
	first := datagram(here, peer, []byte("x"))
	first[6] = 0x20
	for _, tc := range []struct {
		name string
		data []byte
		want header
	}{
		{"udp", datagram(here, peer, []byte("x")), header{class: message, src: here, dst: peer,
			srcPort: 1000, dstPort: 2000, transport: 20, payload: 28}},
		{"udp over IPv6", datagram(here6, peer6, []byte("x")), header{class: message, src: here6,
			dst: peer6, srcPort: 1000, dstPort: 2000, transport: 40, payload: 48}},
		{"tcp", segment(here, peer, []byte("x")), header{class: stream, src: here, dst: peer,
			srcPort: 1000, dstPort: 2000, transport: 20, payload: 40}},
		{"IPv4 options", options, header{class: message, src: here, dst: peer,
			srcPort: 1000, dstPort: 2000, transport: 24, payload: 32}},
		{"IPv6 extensions", extended, header{class: message, src: here6, dst: peer6,
			srcPort: 1000, dstPort: 2000, transport: 64, payload: 72}},
		{"fragment", second, header{src: here, dst: peer, transport: 20, payload: 20}},
		{"first fragment", first, header{src: here, dst: peer, transport: 20, payload: 20}},
		{"short udp", packet(here, peer, ipUDP, []byte("short")),
			header{src: here, dst: peer, transport: 20, payload: 20}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got, ok := parse(tc.data); !ok || got != tc.want {
				t.Errorf("%v %+v, want %+v", ok, got, tc.want)
			}
		})
	}
}

// Nothing that comes from the network may end the agent.
func FuzzParse(f *testing.F) {
	f.Add(datagram(here, peer, []byte("x")))
	f.Add(datagram(here6, peer6, []byte("x")))
	f.Add(segment(here, peer, []byte("x")))
	f.Add(packet(here6, peer6, ipHopByHop, []byte{0, 255, 0, 0, 0, 0, 0, 0}))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, ok := parse(data)
		if ok && (h.payload > len(data) || h.transport > h.payload) {
			t.Errorf("%+v of %d bytes", h, len(data))
		}
		if ok && h.class == message && h.payload < len(data) {
			flip(data, h, (len(data)-h.payload)*8-1)
		}
		for _, piece := range fragments(data, 1280, 7) {
			if len(piece) > 1280 {
				t.Errorf("a piece of %d bytes", len(piece))
			}
		}
	})
}

// One bit of the payload changes and the checksum is right: the program will see it.
func TestFlip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ends := rapid.SampledFrom([][2]netip.Addr{{here, peer}, {here6, peer6}}).Draw(t, "ends")
		payload := rapid.SliceOfN(rapid.Byte(), 1, 99).Draw(t, "payload")
		was := datagram(ends[0], ends[1], payload)
		h, _ := parse(was)
		bit := rapid.IntRange(0, len(payload)*8-1).Draw(t, "bit")
		is := flip(was, h, bit)
		changed := 0
		for i := range payload {
			changed += bits.OnesCount8(is[h.payload+i] ^ payload[i])
		}
		if changed != 1 || checksum(h, is[h.transport:]) != 0 {
			t.Errorf("%d bits changed, checksum off by %x", changed, checksum(h, is[h.transport:]))
		}
		if !bytes.Equal(is[:h.transport+6], was[:h.transport+6]) {
			t.Error("the headers changed")
		}
	})
	without := datagram(here, peer, []byte("x"))
	without[26], without[27] = 0, 0
	h, _ := parse(without)
	if is := flip(without, h, 0); is[26] != 0 || is[27] != 0 || is[28] != 'y' {
		t.Errorf("a datagram without a checksum became %x", is)
	}
}

// A checksum of zero would say that there is none.
func TestFlipLeavesNoChecksumOfZero(t *testing.T) {
	zeros := 0
	for i := range 1 << 16 {
		was := datagram(here, peer, []byte{byte(i >> 8), byte(i)})
		h, _ := parse(was)
		is := flip(was, h, 0)
		if is[26] == 0 && is[27] == 0 {
			t.Fatalf("%x became %x", was, is)
		}
		if is[26] == 0xff && is[27] == 0xff {
			zeros++
		}
	}
	if zeros == 0 {
		t.Error("none of all payloads has a checksum of zero")
	}
}

// The kernel gives each packet without a number one of its own: pieces need the same.
func TestPiecesHaveANumber(t *testing.T) {
	for _, p := range fragments(datagram(here, peer, make([]byte, 2000)), 576, 1<<16) {
		if p[4] == 0 && p[5] == 0 {
			t.Errorf("%x", p[:20])
		}
	}
}

// The pieces are as long as the network allows, and make up the whole again.
func TestFragments(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v6 := rapid.Bool().Draw(t, "IPv6")
		payload := make([]byte, rapid.IntRange(0, 65_000).Draw(t, "size"))
		for i := range payload {
			payload[i] = byte(i * 7)
		}
		mtu := rapid.SampledFrom([]int{576, 1280, 1500, 9000}).Draw(t, "mtu")
		whole, size, offsetAt := datagram(here, peer, payload), ipv4Header, 6
		if v6 {
			whole, size, offsetAt = datagram(here6, peer6, payload), ipv6Header+8, ipv6Header+2
		}
		var body []byte
		pieces := fragments(whole, mtu, 77)
		for i, p := range pieces {
			field := binary.BigEndian.Uint16(p[offsetAt:])
			offset, more := int(field&0x1fff)*8, field&0x2000 != 0
			if v6 {
				offset, more = int(field&^7), field&1 != 0
			}
			if offset != len(body) || more != (i < len(pieces)-1) || len(p) > mtu {
				t.Fatalf("piece %d of %d: %d bytes at %d, more %v", i, len(pieces), len(p), offset, more)
			}
			body = append(body, p[size:]...)
		}
		if h, _ := parse(whole); !bytes.Equal(body, whole[h.transport:]) {
			t.Error("the pieces are not the whole")
		}
	})
}
