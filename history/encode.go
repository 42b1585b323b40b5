package history

import (
	"math"
	"strconv"
	"unicode/utf8"
)

// AppendJSON appends v as compact JSON.
func (v Value) AppendJSON(dst []byte) []byte {
	switch v.Kind() {
	case KindInt:
		return strconv.AppendInt(dst, v.n, 10)
	case KindBool:
		return strconv.AppendBool(dst, v.n != 0)
	case KindString:
		return appendString(dst, v.str())
	case KindFloat:
		return appendFloat(dst, v.float())
	case KindList:
		dst = append(dst, '[')
		for i := range v.Len() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = v.At(i).AppendJSON(dst)
		}
		return append(dst, ']')
	case KindMap:
		dst = append(dst, '{')
		for i, f := range v.fields() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendString(dst, f.Name), ':')
			dst = f.Value.AppendJSON(dst)
		}
		return append(dst, '}')
	default:
		return append(dst, "null"...)
	}
}

// appendFloat writes a float so that it reads back as a float, not as an integer.
func appendFloat(dst []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	n := len(dst)
	dst = strconv.AppendFloat(dst, f, 'g', -1, 64)
	for _, c := range dst[n:] {
		if c == '.' || c == 'e' {
			return dst
		}
	}
	return append(dst, '.', '0')
}

// appendString writes a JSON string. Bytes that are no UTF-8 become U+FFFD,
// because a file with them would be no JSON.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return appendEscaped(dst, s)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

func appendEscaped(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == '\n':
			dst = append(dst, '\\', 'n')
		case r == '\r':
			dst = append(dst, '\\', 'r')
		case r == '\t':
			dst = append(dst, '\\', 't')
		case r < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}

// AppendJSON appends the event as one line of a history file, without the
// newline.
func (e *Event) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"index":`...)
	dst = strconv.AppendInt(dst, e.Index, 10)
	dst = append(dst, `,"time":`...)
	dst = strconv.AppendInt(dst, int64(e.Time), 10)
	if e.Process == Nemesis {
		dst = append(dst, `,"process":"nemesis"`...)
	} else {
		dst = append(dst, `,"process":`...)
		dst = strconv.AppendInt(dst, int64(e.Process), 10)
	}
	dst = append(dst, `,"type":"`...)
	dst = append(dst, e.Type.String()...)
	dst = append(dst, `","f":`...)
	dst = appendString(dst, string(e.F))
	if e.Key != "" {
		dst = append(dst, `,"key":`...)
		dst = appendString(dst, string(e.Key))
	}
	dst = append(dst, `,"value":`...)
	dst = e.Value.AppendJSON(dst)
	if e.Error != "" {
		dst = append(dst, `,"error":`...)
		dst = appendString(dst, e.Error)
	}
	return append(dst, '}')
}
