package core

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// The wire form of records and snapshots: integers as varints, texts with their length in front, fields in a fixed
// order. A record begins with its kind. The journal bears the format's version, so a new field means a new kind or a new
// version, never a guess.

// errShort says that data ended in the middle of a field.
var errShort = errors.New("core: data ends in the middle of a field")

// writer appends fields to a buffer.
type writer struct{ buf []byte }

func (w *writer) byte(b byte)          { w.buf = append(w.buf, b) }
func (w *writer) uint(v uint64)        { w.buf = binary.AppendUvarint(w.buf, v) }
func (w *writer) instant(i Instant)    { w.buf = binary.AppendVarint(w.buf, int64(i)) }
func (w *writer) span(d time.Duration) { w.buf = binary.AppendVarint(w.buf, int64(d)) }
func (w *writer) text(s string)        { w.uint(uint64(len(s))); w.buf = append(w.buf, s...) }

// reader takes fields from data. After the first failure everything it returns is zero, and err says why. The texts it
// returns are parts of one copy of data, which is made for the first of them.
type reader struct {
	data  []byte
	texts string
	pos   int
	err   error
}

func (r *reader) byte() byte {
	if r.err == nil && r.pos >= len(r.data) {
		r.err = errShort
	}
	if r.err != nil {
		return 0
	}
	b := r.data[r.pos]
	r.pos++
	return b
}

func (r *reader) uint() uint64 {
	if r.err != nil {
		return 0
	}
	v, n := binary.Uvarint(r.data[r.pos:])
	switch {
	case n > 0:
		r.pos += n
	case n == 0:
		r.err = errShort
	default:
		r.err = errors.New("core: number of more than 64 bits")
	}
	return v
}

// uint32 reads a number that must fit 32 bits.
func (r *reader) uint32() uint32 {
	v := r.uint()
	if v > math.MaxUint32 && r.err == nil {
		r.err = fmt.Errorf("core: number %d of more than 32 bits", v)
		return 0
	}
	return uint32(v)
}

// uint16 reads a number that must fit 16 bits.
func (r *reader) uint16() uint16 {
	v := r.uint()
	if v > math.MaxUint16 && r.err == nil {
		r.err = fmt.Errorf("core: number %d of more than 16 bits", v)
		return 0
	}
	return uint16(v)
}

func (r *reader) int() int64 {
	v := r.uint()
	return int64(v>>1) ^ -int64(v&1) // zigzag, as binary.AppendVarint writes it
}

func (r *reader) instant() Instant    { return Instant(r.int()) }
func (r *reader) span() time.Duration { return time.Duration(r.int()) }

func (r *reader) text() string {
	from, to := r.field()
	if from == to {
		return ""
	}
	if r.texts == "" {
		r.texts = string(r.data)
	}
	return r.texts[from:to]
}

// raw is a text that is valid as long as data is.
func (r *reader) raw() []byte {
	from, to := r.field()
	return r.data[from:to]
}

// field reads a length, and passes over as many bytes.
func (r *reader) field() (from, to int) {
	n := r.uint()
	if r.err == nil && n > uint64(len(r.data)-r.pos) {
		r.err = errShort
	}
	if r.err != nil {
		return 0, 0
	}
	from = r.pos
	r.pos += int(n)
	return from, r.pos
}

// list reads a count of things that take at least one byte each. Whoever reads them lets its list grow as they come, so
// that damaged data cannot ask for more memory than it is long.
func (r *reader) list() int {
	n := r.uint()
	if r.err == nil && n > uint64(len(r.data)-r.pos) {
		r.err = errShort
	}
	if r.err != nil {
		return 0
	}
	return int(n)
}
