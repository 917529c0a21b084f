package core

import "fmt"

// Encode returns a record in its wire form.
func Encode(rec record) []byte {
	w := writer{buf: make([]byte, 0, 64)}
	w.byte(byte(rec.kind()))
	switch rec := rec.(type) {
	case *Submit:
		w.instant(rec.At)
		w.spec(rec.Spec)
	case *Dispatch:
		w.instant(rec.At)
		w.uint(rec.Task)
		w.uint(uint64(rec.Token))
		w.text(rec.WorkerID)
		w.text(rec.LeaseID)
	case *Start:
		w.instant(rec.At)
		w.uint(rec.Task)
		w.uint(uint64(rec.Token))
	case *End:
		w.instant(rec.At)
		w.uint(rec.Task)
		w.uint(uint64(rec.Token))
		w.span(rec.Duration)
		w.byte(byte(rec.How))
		w.text(rec.Text)
		w.instant(rec.RetryAt)
	case *Requeue:
		w.instant(rec.At)
		w.uint(rec.Task)
		w.uint(uint64(rec.Token))
	case *Expire:
		w.instant(rec.At)
		w.uint(rec.Task)
	case *Cancel:
		w.instant(rec.At)
		w.uint(rec.Task)
		w.text(rec.Reason)
	case *KnownType:
		w.text(rec.Type)
	case *WorkerChange:
		w.instant(rec.At)
		w.text(rec.WorkerID)
		w.text(rec.Aspect)
		w.text(rec.Before)
		w.text(rec.After)
		w.text(rec.Reason)
	case *Forget:
		w.uint(rec.Count)
	}
	return w.buf
}

// decode reads a record. It keeps nothing of data.
func decode(data []byte) (record, error) {
	r := reader{data: string(data)}
	var rec record
	switch k := kind(r.byte()); k {
	case kindSubmit:
		rec = &Submit{At: r.instant(), Spec: r.spec()}
	case kindDispatch:
		rec = &Dispatch{At: r.instant(), Task: r.uint(), Token: Token(r.uint()), WorkerID: r.text(), LeaseID: r.text()}
	case kindStart:
		rec = &Start{At: r.instant(), Task: r.uint(), Token: Token(r.uint())}
	case kindEnd:
		rec = &End{At: r.instant(), Task: r.uint(), Token: Token(r.uint()), Duration: r.span(), How: r.ending(), Text: r.text(), RetryAt: r.instant()}
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
