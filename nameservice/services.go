package nameservice

import (
	"cmp"
	"container/list"
	"fmt"
	"slices"
	"time"
)

// Instance is one announced instance of a service.
type Instance struct {
	ID      string
	Address string
	Term    uint64 // of two instances that say they lead, the one with the higher term is right
}

// services is the table of announcements.
type services struct {
	entries map[serviceKey]*announcement
	queue   list.List // of *announcement, in the order of ends: all last equally long
	version uint64    // counted up with each change of what LookupService tells
}

type serviceKey struct{ service, instance string }

type announcement struct {
	Instance
	key   serviceKey
	ends  time.Time // by the clock of Registry.listened
	place *list.Element
}

// Announce enters an instance of a service, or keeps it entered, for the time after which a worker would be Offline.
// Errors: ErrInvalid, ErrFull.
func (r *Registry) Announce(now time.Time, service string, instance Instance) error {
	r.Advance(now)
	if err := checkName("service", service, maxType, typeCharacters); err != nil {
		return err
	}
	if err := checkName("instance_id", instance.ID, maxID, idCharacters); err != nil {
		return err
	}
	if err := checkAddress("address", instance.Address); err != nil {
		return err
	}
	key := serviceKey{service, instance.ID}
	a := r.services.entries[key]
	if a == nil {
		if len(r.services.entries) >= r.limits.Services {
			return fmt.Errorf("%w: %d announced services", ErrFull, len(r.services.entries))
		}
		a = &announcement{key: key}
		a.place = r.services.queue.PushBack(a)
		r.services.entries[key] = a
	}
	if a.Instance != instance {
		r.services.version++
	}
	a.Instance, a.ends = instance, r.listened().Add(r.times.OfflineAfter)
	r.services.queue.MoveToBack(a.place)
	return nil
}

// LookupService lists the instances of a service, the highest term first, equal ones in the order of their ids.
func (r *Registry) LookupService(now time.Time, service string) []Instance {
	r.Advance(now)
	var found []Instance
	for at := r.services.queue.Front(); at != nil; at = at.Next() {
		if a := at.Value.(*announcement); a.key.service == service {
			found = append(found, a.Instance)
		}
	}
	slices.SortFunc(found, func(a, b Instance) int {
		return cmp.Or(cmp.Compare(b.Term, a.Term), cmp.Compare(a.ID, b.ID))
	})
	return found
}

// ServicesVersion counts the changes of what LookupService tells.
func (r *Registry) ServicesVersion() uint64 { return r.services.version }

// Services returns how many announcements stand.
func (r *Registry) Services(now time.Time) int {
	r.Advance(now)
	return len(r.services.entries)
}

// expire forgets the announcements that ended at or before now.
func (s *services) expire(now time.Time) {
	for first := s.queue.Front(); first != nil; first = s.queue.Front() {
		a := first.Value.(*announcement)
		if a.ends.After(now) {
			return
		}
		s.queue.Remove(first)
		delete(s.entries, a.key)
		s.version++
	}
}
