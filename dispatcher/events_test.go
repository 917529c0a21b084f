package dispatcher

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestWatchersAreWokenForEverythingButNotForEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		b := newBroadcast()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			b.run(ctx)
		}()
		told, woken, seen := 0, 0, 0
		news := b.wait()
		for range 100 { // one each millisecond
			told++
			b.tell()
			time.Sleep(time.Millisecond)
			select {
			case <-news:
				woken++
				news, seen = b.wait(), told
			default:
			}
		}
		if seen != told { // the last word is heard, if later
			select {
			case <-news:
				seen = told
			case <-time.After(2 * newsInterval):
			}
		}
		if seen != told {
			t.Errorf("the last of %d was not heard", told)
		}
		if woken > 100/int(newsInterval/time.Millisecond)+1 {
			t.Errorf("woken %d times in 100 ms, want one each %v", woken, newsInterval)
		}
		cancel()
		<-ended
	})
}
