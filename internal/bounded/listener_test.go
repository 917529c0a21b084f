package bounded

import (
	"io"
	"net"
	"testing"
	"time"
)

func TestOneConnectionTooManyIsClosedAndTheOthersStay(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	seen := 0
	lis := Listen(tcp, 3, func(net.Conn) { seen++ })
	served := make(chan net.Conn)
	go func() {
		for {
			c, err := lis.Accept()
			if err != nil {
				close(served)
				return
			}
			served <- c
		}
	}()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", tcp.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	var ours []net.Conn
	for range 3 {
		dial()
		ours = append(ours, <-served)
	}
	for range 10 {
		extra := dial()
		extra.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := extra.Read(make([]byte, 1)); err != io.EOF {
			t.Fatalf("a fourth connection: read ended with %v, want EOF", err)
		}
	}
	ours[0].Close()
	ours[0].Close() // twice counts once
	theirs := dial()
	c := <-served
	if _, err := c.Write([]byte("x")); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(theirs, make([]byte, 1)); err != nil {
		t.Errorf("after one was closed, another is not served: %v", err)
	}
	extra := dial()
	extra.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := extra.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the bound was lost: %v", err)
	}
	if seen != 4 {
		t.Errorf("%d connections were accepted, want 4", seen)
	}
}
