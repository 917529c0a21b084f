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
	// calmInterval is how often the name services are asked while all is well, eagerInterval while there is no address
	// or the connection is down. An announcement is repeated every second, so asking more often tells nothing new.
	calmInterval  = 5 * time.Second
	eagerInterval = time.Second

	// leastInterval is the shortest time between two lookups: a client that reconnects in a hurry (grpc-go asks at each
	// failure) must not flood the name services; and a new leader is found this soon after it announced itself.
	leastInterval = 250 * time.Millisecond

	// eagerFor is how long the search stays eager after a connection failed; each further failure begins it anew.
	eagerFor = 10 * time.Second
)

// search is a Finder at work for one connection. One goroutine (run) owns the choice; the others send to it.
type search struct {
	finder *Finder
	cc     resolver.ClientConn
	names  *NameServices // nil: nobody to ask

	choice choice
	told   []string // what cc was told last

	hints   chan string
	again   chan struct{}
	answers chan answer
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
		last       time.Time // when the last lookup began
		eagerUntil time.Time
		asking     bool // a lookup is on its way
	)
	if s.names == nil {
		s.tell(view{})
	}
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
			if s.names == nil || asking {
				continue
			}
			asking, last = true, time.Now()
			s.done.Go(func() {
				instance, ok, err := s.names.Lookup(ctx, Dispatcher)
				s.answers <- answer{instance, ok, err}
			})
		case a := <-s.answers:
			asking = false
			s.learn(a)
			interval := calmInterval
			if s.choice.address == "" || time.Now().Before(eagerUntil) {
				interval = eagerInterval
			}
			next.Reset(time.Until(last.Add(interval)))
		case <-s.again:
			eagerUntil = time.Now().Add(eagerFor)
			s.choice.broken()
			s.retell()
			if !asking {
				next.Reset(time.Until(last.Add(leastInterval)))
			}
		case address := <-s.hints:
			s.choice.hinted(address)
			s.retell()
		}
	}
}

// learn takes what a lookup gave. Where the name services know nothing, what was known stays in use.
func (s *search) learn(a answer) {
	v := view{heard: a.err == nil, trouble: a.err}
	if a.ok {
		s.choice.found(a.instance.Address, a.instance.Term)
	} else if v.heard {
		v.trouble = errors.New("the name service knows no dispatcher that leads")
	}
	s.tell(v)
}

// retell tells cc of a choice that changed for another reason than a lookup.
func (s *search) retell() {
	s.finder.mu.Lock()
	v := s.finder.view
	s.finder.mu.Unlock()
	s.tell(v)
}

// tell tells cc where to connect to, and the finder what it may say about it.
func (s *search) tell(v view) {
	v.where = s.choice.where()
	s.finder.mu.Lock()
	s.finder.view = v
	s.finder.mu.Unlock()
	if len(v.where) == 0 {
		if v.trouble != nil { // nil: the first lookup is on its way
			s.cc.ReportError(v.trouble)
		}
		return
	}
	if slices.Equal(v.where, s.told) {
		return
	}
	s.told = v.where
	var addresses []resolver.Address
	for _, address := range v.where {
		addresses = append(addresses, resolver.Address{Addr: address})
	}
	// The error says that the balancer refuses the addresses; pick_first takes any.
	_ = s.cc.UpdateState(resolver.State{Addresses: addresses})
}
