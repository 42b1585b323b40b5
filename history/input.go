package history

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Progress says how far the reading of a file is.
type Progress struct {
	// Bytes are those read so far, of Total in the file, as they are on the disk: a
	// compressed file counts as such. Total is 0 when nobody knows it, as of a pipe.
	Bytes, Total int64
}

// What a compressed file may become: real histories shrink to a tenth or a thirtieth,
// bombs to a thousandth and less.
const (
	inflateFree  = 1 << 30
	inflateRatio = 200
	windowMax    = 128 << 20
)

// input is the text of a history: a file, decompressed if need be.
type input struct {
	r     io.Reader
	close func()
	// size of the file, 0 if unknown.
	size int64
	// raw counts the bytes of the file, out those of the text.
	raw *counter
	out int64
	// packed names the compression, empty if there is none.
	packed string
	// free is how many bytes it may become whatever it was.
	free int64
}

// counter counts what is read.
type counter struct {
	r io.Reader
	n atomic.Int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n.Add(int64(n))
	return n, err
}

// newInput looks at the first bytes of r.
func newInput(r io.Reader, size int64) (*input, error) {
	in := &input{raw: &counter{r: r}, size: size, free: inflateFree, close: func() {}}
	magic := make([]byte, 4)
	n, err := io.ReadFull(in.raw, magic)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, err
	}
	whole := io.MultiReader(bytes.NewReader(magic[:n]), in.raw)
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(whole)
		if err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		in.r, in.packed = z, "gzip"
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(whole, zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderMaxWindow(windowMax))
		if err != nil {
			return nil, fmt.Errorf("zstd: %w", err)
		}
		in.r, in.packed, in.close = z, "zstd", z.Close
	default:
		in.r = whole
	}
	return in, nil
}

// Read fails with errors of its own only, beside io.EOF.
func (in *input) Read(b []byte) (int, error) {
	n, err := in.r.Read(b)
	in.out += int64(n)
	switch {
	case in.packed != "" && in.out > in.free+inflateRatio*in.raw.n.Load():
		return 0, fmt.Errorf("%s: %d bytes became %d: this is no history", in.packed,
			in.raw.n.Load(), in.out)
	case err == nil || err == io.EOF:
		return n, err
	case in.packed != "" && errors.Is(err, io.ErrUnexpectedEOF):
		return n, fmt.Errorf("%s: the file ends too early: %w", in.packed, err)
	case in.packed != "":
		return n, fmt.Errorf("%s: %w", in.packed, err)
	default:
		return n, fmt.Errorf("read: %w", err)
	}
}

// taken returns how much of the file was read.
func (in *input) taken() int64 { return in.raw.n.Load() }
