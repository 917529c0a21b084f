package discovery

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/resolver"
)

const (
	// calmInterval is how often the name services are asked while all is well, eagerInterval while there is no address,
	// none of them tells of changes by itself, or the connection is down. Lookups that grpc-go asks for, at each failure, are no closer together than a quarter of
	// it: a client that reconnects in a hurry must not flood the name services.
	calmInterval  = 5 * time.Second
	eagerInterval = time.Second

	// eagerFor is how long the search stays eager after a connection failed; each further failure begins it anew.
	eagerFor = 10 * time.Second

	// hurryInterval is how often the name services are asked in the first moments after a connection failed, hurryFor:
	// most likely the leader has died, another announces itself within a second, and everybody waits for it.
	hurryInterval = 50 * time.Millisecond
	hurryFor      = 3 * time.Second

	// firstFor is how long the first word of a watch waits for what the other name services say: they may know of a later
	// leader. One that does not answer holds a lookup up for longer.
	firstFor = 50 * time.Millisecond
)

// search is a Finder at work for one connection. One goroutine (run) owns the choice; the others send to it.
type search struct {
	finder *Finder
	cc     resolver.ClientConn
	names  *NameServices // nil: nobody to ask
	watch  *watch        // of names; nil: nobody to ask

	choice choice
	told   []string // what cc was told last

	hints   chan string
	again   chan struct{}
	answers chan answer
	news    chan Instance
	stop    context.CancelFunc
	done    sync.WaitGroup
}

// answer is what a lookup gave.
type answer struct {
	instance Instance
	ok       bool
	err      error
}

// ResolveNow is called by grpc-go when a connection failed.
func (s *search) ResolveNow(resolver.ResolveNowOptions) {
	select {
	case s.again <- struct{}{}:
	default: // one is on its way
	}
}

// Close is called by grpc-go when the connection needs no resolver any more.
func (s *search) Close() {
	s.stop()
	s.done.Wait()
	if s.names != nil {
		s.names.Close()
	}
}

func (s *search) run(ctx context.Context) {
	var (
		last   time.Time // when the last lookup began
		pace   pace
		asking bool // a lookup is on its way
		passed bool // and began before the latest news
		latest Instance
	)
	if s.names == nil {
		s.tell(view{})
	}
	next, first := time.NewTimer(0), time.NewTimer(0)
	defer next.Stop()
	defer first.Stop()
	first.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
			if s.names == nil || asking {
				continue
			}
			asking, passed, last = true, false, time.Now()
			s.done.Go(func() {
				instance, ok, err := s.names.Lookup(ctx, Dispatcher)
				s.answers <- answer{instance, ok, err}
			})
		case a := <-s.answers:
			asking = false
			if passed && a.instance.Term < s.choice.term {
				next.Reset(0)
				continue
			}
			if s.learn(a) {
				pace.moved()
			}
			next.Reset(time.Until(last.Add(pace.interval(time.Now(), s.choice.address != "", s.watch.stands()))))
		case i := <-s.news:
			if i.Term > latest.Term {
				latest = i
			}
			if s.told == nil && asking {
				first.Reset(firstFor)
			} else {
				first.Reset(0)
			}
		case <-first.C:
			if latest.Term > s.choice.term {
				passed = true
				if s.learn(answer{instance: latest, ok: true}) {
					pace.moved()
				}
			}
			latest = Instance{} // a grid that is started anew counts its terms from the beginning
		case <-s.again:
			pace.broken(time.Now())
			s.choice.broken()
			s.retell()
			if !asking {
				next.Reset(time.Until(last.Add(pace.least(time.Now()))))
			}
		case address := <-s.hints:
			s.choice.hinted(address)
			s.retell()
		}
	}
}

// learn takes what a lookup gave, and returns whether it changed where to connect to. Where the name services know
// nothing, what was known stays in use.
func (s *search) learn(a answer) (moved bool) {
	v := view{heard: a.err == nil, trouble: a.err}
	succeeded := false
	if a.ok {
		succeeded = s.choice.found(a.instance.Address, a.instance.Term)
	} else if v.heard {
		v.trouble = errors.New("the name service knows no dispatcher that leads")
	}
	moved = s.tell(v)
	if succeeded {
		s.finder.calls.leave()
	}
	return moved
}

// retell tells cc of a choice that changed for another reason than a lookup.
func (s *search) retell() {
	s.finder.mu.Lock()
	v := s.finder.view
	s.finder.mu.Unlock()
	s.tell(v)
}

// tell tells cc where to connect to, and the finder what it may say about it. It returns whether that is elsewhere than
// before.
func (s *search) tell(v view) (moved bool) {
	v.where = s.choice.where()
	s.finder.mu.Lock()
	s.finder.view = v
	s.finder.mu.Unlock()
	if len(v.where) == 0 {
		if v.trouble != nil { // nil: the first lookup is on its way
			s.cc.ReportError(v.trouble)
		}
		return false
	}
	if slices.Equal(v.where, s.told) {
		return false
	}
	s.told = v.where
	var addresses []resolver.Address
	for _, address := range v.where {
		addresses = append(addresses, resolver.Address{Addr: address})
	}
	// The error says that the balancer refuses the addresses; pick_first takes any.
	_ = s.cc.UpdateState(resolver.State{Addresses: addresses})
	s.finder.calls.moved() // now: a call that begins before it may still go where the calls went
	s.finder.moved.tell()
	return true
}
