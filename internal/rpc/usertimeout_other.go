//go:build !linux

package rpc

import "net"

func setUserTimeout(net.Conn) {}
