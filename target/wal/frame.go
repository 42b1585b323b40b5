package wal

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// A segment is a header and then frames. All integers are little-endian.
//
//	segment header   magic (8) · segment number (8) · CRC32C of these (4)
//	frame            length of body (4) · CRC32C of body (4) · CRC32C of segment
//	                 number, offset and these eight bytes (4) · body
//	body             records, each: length (uvarint) · bytes
//
// One Append writes one frame: its records are found again together or not at
// all. The frame header's own checksum covers where it stands, so that neither
// zeros nor remains of an older segment are taken for a frame, and so that a
// header can be recognized behind a damaged frame without trusting its length.
const (
	segmentMagic    = "ORDWAL1\n"
	segmentHeader   = len(segmentMagic) + 8 + 4
	frameHeader     = 12
	maxFrame        = 1 << 28
	checkpointMagic = "ORDCKP1\n"
	// checkpointHeader is followed by the state, to the end of the file:
	// magic (8) · number (8) · length (8) · CRC32C of all the others (4).
	checkpointHeader = len(checkpointMagic) + 8 + 8 + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func appendSegmentHeader(dst []byte, number uint64) []byte {
	start := len(dst)
	dst = append(dst, segmentMagic...)
	dst = binary.LittleEndian.AppendUint64(dst, number)
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// headerSum is the checksum of a frame's first eight bytes at their place.
func headerSum(number uint64, offset int64, first8 []byte) uint32 {
	var place [16]byte
	binary.LittleEndian.PutUint64(place[:], number)
	binary.LittleEndian.PutUint64(place[8:], uint64(offset))
	return crc32.Update(crc32.Checksum(place[:], castagnoli), castagnoli, first8)
}

// appendFrame encodes records as the frame at offset of segment number.
func appendFrame(dst []byte, number uint64, offset int64, records [][]byte) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, frameHeader)...)
	for _, r := range records {
		dst = binary.AppendUvarint(dst, uint64(len(r)))
		dst = append(dst, r...)
	}
	frame := dst[start:]
	body := frame[frameHeader:]
	binary.LittleEndian.PutUint32(frame, uint32(len(body)))
	binary.LittleEndian.PutUint32(frame[4:], crc32.Checksum(body, castagnoli))
	binary.LittleEndian.PutUint32(frame[8:], headerSum(number, offset, frame[:8]))
	return dst
}

var (
	errShort = errors.New("cut short")
	errSum   = errors.New("wrong checksum")
	errBody  = errors.New("records do not fill their frame")
)

// parseHeader returns the length of the body of the frame at offset.
func parseHeader(segment []byte, number uint64, offset int64) (int, error) {
	rest := segment[offset:]
	if len(rest) < frameHeader {
		return 0, errShort
	}
	if headerSum(number, offset, rest[:8]) != binary.LittleEndian.Uint32(rest[8:]) {
		return 0, errSum
	}
	return int(binary.LittleEndian.Uint32(rest)), nil
}

// parseFrame returns the records of the frame at offset, which alias segment,
// and the offset behind it.
func parseFrame(segment []byte, number uint64, offset int64) ([][]byte, int64, error) {
	length, err := parseHeader(segment, number, offset)
	if err != nil {
		return nil, 0, err
	}
	body := segment[offset+frameHeader:]
	if len(body) < length {
		return nil, 0, errShort
	}
	body = body[:length:length]
	sum := binary.LittleEndian.Uint32(segment[offset+4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return nil, 0, errSum
	}
	var records [][]byte
	for len(body) > 0 {
		n, used := binary.Uvarint(body)
		if used <= 0 || n > uint64(len(body)-used) {
			return nil, 0, errBody
		}
		end := used + int(n)
		records = append(records, body[used:end:end])
		body = body[end:]
	}
	return records, offset + frameHeader + int64(length), nil
}

// frameBehind reports whether a frame begins somewhere behind offset. It need
// not be whole: it was begun, and that is done only when everything before it
// has been synced.
func frameBehind(segment []byte, number uint64, offset int64) bool {
	for at := offset + 1; at+frameHeader <= int64(len(segment)); at++ {
		if _, err := parseHeader(segment, number, at); err == nil {
			return true
		}
	}
	return false
}

func encodeCheckpoint(number uint64, state []byte) []byte {
	b := make([]byte, 0, checkpointHeader+len(state))
	b = append(b, checkpointMagic...)
	b = binary.LittleEndian.AppendUint64(b, number)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(state)))
	sum := crc32.Update(crc32.Checksum(b, castagnoli), castagnoli, state)
	b = binary.LittleEndian.AppendUint32(b, sum)
	return append(b, state...)
}

var (
	errMagic  = errors.New("not a file of this kind")
	errNumber = errors.New("the number inside is not that of the name")
	errLength = errors.New("the length inside is not that of the file")
)

func decodeCheckpoint(file []byte, number uint64) ([]byte, error) {
	if len(file) < checkpointHeader {
		return nil, errShort
	}
	sumAt := checkpointHeader - 4
	state := file[checkpointHeader:]
	sum := crc32.Update(crc32.Checksum(file[:sumAt], castagnoli), castagnoli, state)
	switch {
	case string(file[:len(checkpointMagic)]) != checkpointMagic:
		return nil, errMagic
	case binary.LittleEndian.Uint32(file[sumAt:]) != sum:
		return nil, errSum
	case binary.LittleEndian.Uint64(file[len(checkpointMagic):]) != number:
		return nil, errNumber
	case binary.LittleEndian.Uint64(file[len(checkpointMagic)+8:]) != uint64(len(state)):
		return nil, errLength
	}
	return state, nil
}

// Frames returns where the frames of a log file begin, in bytes, as far as they are
// whole. Who damages a log on purpose should leave the last one alone: its loss
// cannot be told from a torn tail.
func Frames(segment []byte) []int64 {
	if len(segment) < segmentHeader {
		return nil
	}
	number := binary.LittleEndian.Uint64(segment[len(segmentMagic):])
	var starts []int64
	for at := int64(segmentHeader); at < int64(len(segment)); {
		_, next, err := parseFrame(segment, number, at)
		if err != nil {
			return starts
		}
		starts = append(starts, at)
		at = next
	}
	return starts
}
