package core

import "io"

// snapshotPipe streams a snapshot; the error of writing comes on the channel.
func snapshotPipe(m *Machine) (io.Reader, <-chan error) {
	r, w := io.Pipe()
	done := make(chan error, 1)
	s := m.Snapshot()
	go func() {
		_, err := s.WriteTo(w)
		w.CloseWithError(err)
		done <- err
	}()
	return r, done
}

// decode reads one record.
func decode(data []byte) (record, error) {
	d := decoder{texts: intern{}}
	return d.decode(data)
}
