package discovery

import (
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheOwnAddressIsThatOfTheRouteToTheNameService(t *testing.T) {
	everywhere := &net.TCPAddr{IP: net.IPv6unspecified, Port: 50060}
	for _, test := range []struct {
		what      string
		advertise string
		listening net.Addr
		names     []string
		want      string
	}{
		{"a flag wins", "worker.example:7", everywhere, []string{"127.0.0.1:50051"}, "worker.example:7"},
		{"it listens on one address", "", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 7), Port: 1}, []string{"127.0.0.1:50051"}, "127.0.0.7:1"},
		{"it listens on all", "", everywhere, []string{"127.0.0.1:50051"}, "127.0.0.1:50060"},
		{"a route that does not exist is passed over", "", everywhere, []string{"nonsense.invalid:50051", "127.0.0.1:50051"}, "127.0.0.1:50060"},
	} {
		got, err := OwnAddress(test.advertise, test.listening, test.names)
		if err != nil || got != test.want {
			t.Errorf("%s: got %s, %v; want %s", test.what, got, err, test.want)
		}
	}
	if got, err := OwnAddress("", everywhere, nil); err == nil {
		t.Errorf("without any name service: got %s, want an error", got)
	}
}

func TestTheOwnAddressIsTheLastThatWasFoundOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at, asked := "", 0
		own := NewOwn(func() (string, error) {
			if asked++; at == "" {
				return "", errors.New("no route")
			}
			return at, nil
		})
		expect := func(when, want string) {
			t.Helper()
			if got := own.Known(); got != want {
				t.Errorf("%s: %q, want %q", when, got, want)
			}
		}
		for range 100 {
			expect("without a route", "")
		}
		if asked > 1 {
			t.Errorf("asked %d times within a second", asked)
		}
		at = "10.0.0.7:50052"
		time.Sleep(2 * time.Second)
		expect("when there is one", at)
		at = "10.0.0.8:50052"
		time.Sleep(time.Minute)
		expect("it has moved, and nobody has found out", "10.0.0.7:50052")
		if _, err := own.Ask(); err != nil {
			t.Fatal(err)
		}
		expect("it has moved", "10.0.0.8:50052")
	})
}
