package history

import (
	"math"
	"strconv"
	"unicode/utf8"
)

// AppendEDN appends v as EDN, which reads back as v. The steps of a transaction have
// keywords as their f, as Elle wants them; everything else that is text stays a string.
func (v Value) AppendEDN(dst []byte) []byte {
	switch v.Kind() {
	case KindNil:
		return append(dst, "nil"...)
	case KindString:
		return appendEDNString(dst, v.str())
	case KindFloat:
		switch f := v.float(); {
		case math.IsNaN(f):
			return append(dst, "##NaN"...)
		case math.IsInf(f, 1):
			return append(dst, "##Inf"...)
		case math.IsInf(f, -1):
			return append(dst, "##-Inf"...)
		default:
			return appendFloat(dst, f)
		}
	case KindList:
		return v.appendEDNList(dst)
	case KindMap:
		dst = append(dst, '{')
		for i, f := range v.fields() {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			dst = append(appendEDNString(dst, f.Name), ' ')
			dst = f.Value.AppendEDN(dst)
		}
		return append(dst, '}')
	default: // the same as in JSON
		return v.AppendJSON(dst)
	}
}

func (v Value) appendEDNList(dst []byte) []byte {
	step := v.isStep()
	dst = append(dst, '[')
	for i := range v.Len() {
		if i > 0 {
			dst = append(dst, ' ')
		}
		if e := v.At(i); i == 0 && step {
			dst = append(append(dst, ':'), e.str()...)
		} else {
			dst = e.AppendEDN(dst)
		}
	}
	return append(dst, ']')
}

// isStep reports whether a list looks like one step of a transaction.
func (v Value) isStep() bool {
	if v.Len() < 2 || v.Len() > 3 {
		return false
	}
	f, _ := v.At(0).AsString()
	switch F(f) {
	case StepRead, StepWrite, StepAppend, StepAdd:
		return true
	default:
		return false
	}
}

// appendEDNString writes a string. It escapes what the printed form of Clojure does, and
// control characters by number.
func appendEDNString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, r := range s { // what is no UTF-8 becomes U+FFFD
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == '\n':
			dst = append(dst, '\\', 'n')
		case r == '\r':
			dst = append(dst, '\\', 'r')
		case r == '\t':
			dst = append(dst, '\\', 't')
		case r < ' ' || r == 0x7f:
			dst = append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}

// appendEDNWord writes a word as a keyword if it can be one.
func appendEDNWord(dst []byte, s string) []byte {
	for i, r := range s {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_' || r == '-'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return appendEDNString(dst, s)
		}
	}
	if s == "" {
		return appendEDNString(dst, s)
	}
	return append(append(dst, ':'), s...)
}

// AppendEDN appends the event as Jepsen prints one: a map, without the newline. The key
// of an operation becomes the first half of a tuple of jepsen.independent; one that is the
// text of a whole number is written as that number.
func (e *Event) AppendEDN(dst []byte) []byte {
	dst = append(dst, "{:index "...)
	dst = strconv.AppendInt(dst, e.Index, 10)
	dst = append(dst, ", :time "...)
	dst = strconv.AppendInt(dst, int64(e.Time), 10)
	dst = append(dst, ", :process "...)
	if e.Process == Nemesis {
		dst = append(dst, ":nemesis"...)
	} else {
		dst = strconv.AppendInt(dst, int64(e.Process), 10)
	}
	dst = append(dst, ", :type :"...)
	dst = append(dst, e.Type.String()...)
	dst = append(dst, ", :f "...)
	dst = appendEDNWord(dst, string(e.F))
	dst = append(dst, ", :value "...)
	if e.Key == "" {
		dst = e.Value.AppendEDN(dst)
	} else {
		dst = append(dst, "#jepsen.independent/tuple ["...)
		if n, err := strconv.ParseInt(string(e.Key), 10, 64); err == nil &&
			strconv.FormatInt(n, 10) == string(e.Key) {
			dst = strconv.AppendInt(dst, n, 10)
		} else {
			dst = appendEDNString(dst, string(e.Key))
		}
		dst = append(dst, ' ')
		dst = append(e.Value.AppendEDN(dst), ']')
	}
	if e.Error != "" {
		dst = append(dst, ", :error "...)
		dst = appendEDNString(dst, e.Error)
	}
	return append(dst, '}')
}
