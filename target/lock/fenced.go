package lock

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/fxamacker/cbor/v2"

	"github.com/ordeal-dev/ordeal/target/bug"
	"github.com/ordeal-dev/ordeal/target/kv"
	"github.com/ordeal-dev/ordeal/target/protocol"
)

// guarded is one register that is written under a lock.
type guarded struct {
	_   struct{} `cbor:",toarray"`
	Key string
	// Token is the greatest token seen, kept together with the value.
	Token uint64
	Value string // compact JSON
}

// Fenced is the kind of object "fenced": registers that refuse the writes of those
// who have lost their lock. It implements kv.Extension.
type Fenced struct {
	bugs bug.Set
	all  map[string]guarded
}

// NewFenced returns no registers.
func NewFenced(bugs bug.Set) *Fenced { return &Fenced{bugs: bugs, all: map[string]guarded{}} }

// Check tells whether the request can be carried out at all.
func (f *Fenced) Check(r protocol.Request) (kv.Result, bool) {
	switch r.F {
	case "read":
		return kv.Result{}, true
	case "write":
		if _, _, err := parseWrite(r.Value); err != nil {
			return fail(kv.CodeBadRequest, "fenced.write: %v", err), false
		}
		return kv.Result{}, true
	default:
		return fail(kv.CodeNotSupported, "no operation fenced.%s", r.F), false
	}
}

// parseWrite takes [token,value] apart.
func parseWrite(arg string) (token uint64, value string, err error) {
	var parts []json.RawMessage
	if err := json.Unmarshal([]byte(arg), &parts); err != nil {
		return 0, "", fmt.Errorf("%q is not [token,value]: %w", arg, err)
	}
	if len(parts) != 2 {
		return 0, "", errors.New("want [token,value]")
	}
	if token, err = strconv.ParseUint(string(bytes.TrimSpace(parts[0])), 10, 64); err != nil {
		return 0, "", fmt.Errorf("token: %w", err)
	}
	var flat bytes.Buffer
	if err := json.Compact(&flat, parts[1]); err != nil {
		return 0, "", fmt.Errorf("value: %w", err)
	}
	return token, flat.String(), nil
}

// Apply carries out a write.
func (f *Fenced) Apply(_ uint64, _ protocol.Time, c kv.Command) kv.Result {
	token, value, err := parseWrite(c.Value)
	if c.F != "write" || err != nil {
		return fail(kv.CodeBadRequest, "fenced.%s: %v", c.F, err)
	}
	return f.write(c.Key, token, value)
}

// write takes the value, unless a greater token has been here.
func (f *Fenced) write(key string, token uint64, value string) kv.Result {
	g := f.all[key]
	if token < g.Token && !f.bugs.Has(bug.LockResourceIgnoresToken) {
		// Planted otherwise: whoever comes last has written.
		return fail(codeStale, "token %d is lower than %d", token, g.Token)
	}
	f.all[key] = guarded{Key: key, Token: token, Value: value}
	return kv.Result{}
}

// Read tells [token,value], [0,null] of what was never written.
func (f *Fenced) Read(r protocol.Request) kv.Result {
	g := f.all[r.Key]
	return kv.Result{Value: fmt.Sprintf("[%d,%s]", g.Token, cmp.Or(g.Value, "null"))}
}

// Encode returns the registers, sorted by key.
func (f *Fenced) Encode() []byte {
	var all []guarded
	for _, k := range sortedKeys(f.all) {
		all = append(all, f.all[k])
	}
	b, err := cbor.Marshal(all)
	if err != nil {
		panic("lock: encode: " + err.Error()) // the types above all encode
	}
	return b
}

// Decode replaces the registers.
func (f *Fenced) Decode(b []byte) error {
	all, err := decode[guarded](b)
	if err != nil {
		return fmt.Errorf("decode guarded registers: %w", err)
	}
	f.all = map[string]guarded{}
	for _, g := range all {
		f.all[g.Key] = g
	}
	return nil
}

func decode[T any](b []byte) ([]T, error) {
	mode, err := cbor.DecOptions{
		UTF8: cbor.UTF8DecodeInvalid, MaxArrayElements: 1 << 30,
	}.DecMode()
	if err != nil {
		return nil, err
	}
	var all []T
	return all, mode.Unmarshal(b, &all)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
