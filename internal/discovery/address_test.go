package discovery

import (
	"net"
	"testing"
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
