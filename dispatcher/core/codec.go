package core

import "fmt"

// Encode returns a record in its wire form.
func Encode(rec record) []byte { return new(Encoder).Encode(rec) }

// Encoder makes many records in a few pieces of memory. The zero value is ready.
type Encoder struct{ piece []byte }

const (
	minPiece = 128 // bytes: most records are smaller
	maxPiece = 8 << 10
)

// Encode returns a record in its wire form. It is the caller's.
func (e *Encoder) Encode(rec record) []byte {
	if cap(e.piece)-len(e.piece) < minPiece {
		e.piece = make([]byte, 0, min(max(minPiece, 2*cap(e.piece)), maxPiece))
	}
	start := len(e.piece)
	w := writer{buf: e.piece}
	w.record(rec)
	e.piece = w.buf
	return w.buf[start:len(w.buf):len(w.buf)]
}

// record appends a record.
func (w *writer) record(rec record) {
	switch rec := rec.(type) {
	case *Submit:
		w.byte(byte(kindSubmit))
		w.instant(rec.At)
		w.spec(rec.Spec)
	case *Dispatch:
		w.byte(byte(kindDispatch))
		w.instant(rec.At)
		w.uint(rec.Task)
		w.uint(uint64(rec.Token))
		w.text(rec.WorkerID)
		w.text(rec.LeaseID)
	case *Start:
		w.byte(byte(kindStart))
		w.instant(rec.At)
		w.uint(rec.Task)
		w.uint(uint64(rec.Token))
	case *End:
		w.byte(byte(kindEnd))
		w.instant(rec.At)
		w.uint(rec.Task)
		w.uint(uint64(rec.Token))
		w.span(rec.Duration)
		w.byte(byte(rec.How))
		w.text(rec.Text)
		w.instant(rec.RetryAt)
	case *Requeue:
		w.byte(byte(kindRequeue))
		w.instant(rec.At)
		w.uint(rec.Task)
		w.uint(uint64(rec.Token))
	case *Expire:
		w.byte(byte(kindExpire))
		w.instant(rec.At)
		w.uint(rec.Task)
	case *Cancel:
		w.byte(byte(kindCancel))
		w.instant(rec.At)
		w.uint(rec.Task)
		w.text(rec.Reason)
	case *KnownType:
		w.byte(byte(kindType))
		w.text(rec.Type)
	case *WorkerChange:
		w.byte(byte(kindWorker))
		w.instant(rec.At)
		w.text(rec.WorkerID)
		w.text(rec.Aspect)
		w.text(rec.Before)
		w.text(rec.After)
		w.text(rec.Reason)
	case *Forget:
		w.byte(byte(kindForget))
		w.uint(rec.Count)
	}
}

// decoder reads records. The zero value is not ready: texts must be there.
type decoder struct {
	texts intern // of workers and leases

	// The record that was read last of each of the frequent kinds.
	submit   Submit
	dispatch Dispatch
	start    Start
	end      End
}

// decode reads a record, which is valid until the next is read. It keeps nothing of data.
func (d *decoder) decode(data []byte) (record, error) {
	r := reader{data: data}
	var rec record
	switch k := kind(r.byte()); k {
	case kindSubmit:
		d.submit = Submit{At: r.instant(), Spec: r.spec()}
		rec = &d.submit
	case kindDispatch:
		d.dispatch = Dispatch{At: r.instant(), Task: r.uint(), Token: Token(r.uint()), WorkerID: d.texts.read(&r), LeaseID: d.texts.read(&r)}
		rec = &d.dispatch
	case kindStart:
		d.start = Start{At: r.instant(), Task: r.uint(), Token: Token(r.uint())}
		rec = &d.start
	case kindEnd:
		d.end = End{At: r.instant(), Task: r.uint(), Token: Token(r.uint()), Duration: r.span(), How: r.ending(), Text: string(r.raw()), RetryAt: r.instant()}
		rec = &d.end
	case kindRequeue:
		rec = &Requeue{At: r.instant(), Task: r.uint(), Token: Token(r.uint())}
	case kindExpire:
		rec = &Expire{At: r.instant(), Task: r.uint()}
	case kindCancel:
		rec = &Cancel{At: r.instant(), Task: r.uint(), Reason: r.text()}
	case kindType:
		rec = &KnownType{Type: r.text()}
	case kindWorker:
		rec = &WorkerChange{At: r.instant(), WorkerID: r.text(), Aspect: r.text(), Before: r.text(), After: r.text(), Reason: r.text()}
	case kindForget:
		rec = &Forget{Count: r.uint()}
	default:
		if r.err != nil {
			return nil, r.err
		}
		return nil, fmt.Errorf("core: record of unknown kind %d: written by a newer version?", k)
	}
	if r.err == nil && r.pos != len(r.data) {
		r.err = fmt.Errorf("core: %d bytes left over after a record of kind %d", len(r.data)-r.pos, rec.kind())
	}
	return rec, r.err
}

func (r *reader) ending() Ending {
	e := Ending(r.byte())
	if (e < EndResult || e > EndRefused) && r.err == nil {
		r.err = fmt.Errorf("core: unknown ending %d", e)
	}
	return e
}

func (w *writer) spec(s *Spec) {
	w.text(s.Type)
	w.text(s.Payload)
	w.text(s.Key)
	w.text(s.RequestID)
	w.uint(uint64(len(s.Labels)))
	for _, l := range s.Labels {
		w.text(l.Key)
		w.text(l.Value)
	}
	w.span(s.AttemptTimeout)
	w.span(s.QueueTimeout)
	w.uint(s.RetryOf)
	w.uint(uint64(s.MaxAttempts))
	w.byte(byte(s.Priority))
}

func (r *reader) spec() *Spec {
	s := &Spec{Type: r.text(), Payload: r.text(), Key: r.text(), RequestID: r.text()}
	for n := r.list(); n > 0 && r.err == nil; n-- {
		s.Labels = append(s.Labels, Label{Key: r.text(), Value: r.text()})
	}
	s.AttemptTimeout, s.QueueTimeout = r.span(), r.span()
	s.RetryOf, s.MaxAttempts, s.Priority = r.uint(), r.uint32(), int32(r.byte())
	if s.Priority >= Priorities && r.err == nil {
		r.err = fmt.Errorf("core: priority %d, at most %d is possible", s.Priority, Priorities-1)
	}
	return s
}
