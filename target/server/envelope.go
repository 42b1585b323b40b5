package server

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"

	"github.com/ordeal-dev/ordeal/target/protocol"
)

// A datagram between nodes, all integers big-endian:
//
//	0   magic "ORDL"
//	4   version, 1
//	5   length of the sender's name    6  length of the recipient's name    7  zero
//	8   CRC32C of everything before and behind these four bytes
//	12  cluster id      first 8 bytes of SHA-256 of the cluster's name
//	20  configuration   first 8 bytes of SHA-256 of the members' names, see configurationID
//	28  boot epoch of the sender
//	36  sequence number of the datagram at its sender, from 1 in each epoch
//	44  sender · recipient · payload, to the end of the datagram
//
// There is no length of the payload: a datagram knows its own, and the checksum
// covers it.
const (
	envelopeMagic   = "ORDL"
	envelopeVersion = 1
	envelopeHeader  = 44
	maxName         = 64
	maxDatagram     = envelopeHeader + 2*maxName + protocol.MaxPayload
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// envelope is a datagram taken apart.
type envelope struct {
	Cluster, Configuration uint64
	Epoch                  protocol.Epoch
	Seq                    uint64
	From, To               protocol.NodeID
	Payload                []byte
}

// appendTo encodes the envelope. Names must have 1 to maxName bytes.
func (e envelope) appendTo(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, envelopeMagic...)
	dst = append(dst, envelopeVersion, byte(len(e.From)), byte(len(e.To)), 0, 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint64(dst, e.Cluster)
	dst = binary.BigEndian.AppendUint64(dst, e.Configuration)
	dst = binary.BigEndian.AppendUint64(dst, uint64(e.Epoch))
	dst = binary.BigEndian.AppendUint64(dst, e.Seq)
	dst = append(dst, e.From...)
	dst = append(dst, e.To...)
	dst = append(dst, e.Payload...)
	datagram := dst[start:]
	binary.BigEndian.PutUint32(datagram[8:], envelopeSum(datagram))
	return dst
}

func envelopeSum(datagram []byte) uint32 {
	return crc32.Update(crc32.Checksum(datagram[:8], castagnoli), castagnoli, datagram[12:])
}

// drop is the reason why a datagram was not handed on; it names a counter.
type drop string

const (
	dropShort         drop = "short"
	dropMagic         drop = "magic"
	dropVersion       drop = "version"
	dropChecksum      drop = "checksum"
	dropNames         drop = "names"
	dropCluster       drop = "cluster"
	dropConfiguration drop = "configuration"
	dropRecipient     drop = "recipient"
	dropSender        drop = "sender"
	dropOverflow      drop = "overflow"
	dropOversize      drop = "oversize"
	dropNoAddress     drop = "no_address"
	dropSend          drop = "send_error"
)

// drops lists every reason, so that the counters show zeros as well.
func drops() []drop {
	return []drop{
		dropShort, dropMagic, dropVersion, dropChecksum, dropNames, dropCluster,
		dropConfiguration, dropRecipient, dropSender, dropOverflow, dropOversize,
		dropNoAddress, dropSend,
	}
}

// decodeEnvelope takes a datagram apart. The payload aliases it. A reason other
// than "" says why it is no envelope.
func decodeEnvelope(datagram []byte) (envelope, drop) {
	if len(datagram) < envelopeHeader {
		return envelope{}, dropShort
	}
	if string(datagram[:4]) != envelopeMagic {
		return envelope{}, dropMagic
	}
	if datagram[4] != envelopeVersion {
		return envelope{}, dropVersion
	}
	if binary.BigEndian.Uint32(datagram[8:]) != envelopeSum(datagram) {
		return envelope{}, dropChecksum
	}
	from, to := int(datagram[5]), int(datagram[6])
	rest := datagram[envelopeHeader:]
	if from == 0 || to == 0 || from > maxName || to > maxName ||
		datagram[7] != 0 || len(rest) < from+to {
		return envelope{}, dropNames
	}
	return envelope{
		Cluster:       binary.BigEndian.Uint64(datagram[12:]),
		Configuration: binary.BigEndian.Uint64(datagram[20:]),
		Epoch:         protocol.Epoch(binary.BigEndian.Uint64(datagram[28:])),
		Seq:           binary.BigEndian.Uint64(datagram[36:]),
		From:          protocol.NodeID(rest[:from]),
		To:            protocol.NodeID(rest[from : from+to]),
		Payload:       rest[from+to:],
	}, ""
}

// identity is what every datagram of a node's cluster has in common.
type identity struct {
	cluster, configuration uint64
	self                   protocol.NodeID
	members                []protocol.NodeID
}

func newIdentity(cluster string, self protocol.NodeID, members []protocol.NodeID) identity {
	return identity{
		cluster: hash64(cluster), configuration: configurationID(members),
		self: self, members: members,
	}
}

// configurationID names a set of members: the hash of their names, sorted, each
// behind its length, so that no two sets run together.
func configurationID(members []protocol.NodeID) uint64 {
	sorted := slices.Sorted(slices.Values(members))
	var b strings.Builder
	for _, m := range sorted {
		fmt.Fprintf(&b, "%d:%s", len(m), m)
	}
	return hash64(b.String())
}

func hash64(s string) uint64 {
	sum := sha256.Sum256([]byte(s))
	return binary.BigEndian.Uint64(sum[:])
}

// admit reports why a well-formed envelope is not for this node, or "".
func (id identity) admit(e envelope) drop {
	switch {
	case e.Cluster != id.cluster:
		return dropCluster
	case e.Configuration != id.configuration:
		return dropConfiguration
	case e.To != id.self:
		return dropRecipient
	case e.From == id.self || !slices.Contains(id.members, e.From):
		return dropSender
	}
	return ""
}
