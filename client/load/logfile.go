package load

import (
	"fmt"
	"os"
)

// maxLogFile bounds the log file in bytes. A full one is renamed to end in .1, in place of the one before it.
const maxLogFile = 64 << 20

// LogFile is an append-only file that is replaced when it is full.
type LogFile struct {
	path string
	file *os.File
	size int64
}

// OpenLog opens the file at path, behind what is in it already.
func OpenLog(path string) (*LogFile, error) {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, err
	}
	return &LogFile{path: path, file: file, size: info.Size()}, nil
}

// Write appends p, which is never torn over two files.
func (l *LogFile) Write(p []byte) (int, error) {
	if l.size > 0 && l.size+int64(len(p)) > maxLogFile {
		if err := l.replace(); err != nil {
			return 0, err
		}
	}
	n, err := l.file.Write(p)
	l.size += int64(n)
	return n, err
}

func (l *LogFile) replace() error {
	if err := l.file.Close(); err != nil {
		return err
	}
	if err := os.Rename(l.path, l.path+".1"); err != nil {
		return fmt.Errorf("replace the full log: %w", err)
	}
	next, err := OpenLog(l.path)
	if err != nil {
		return err
	}
	*l = *next
	return nil
}

// Close closes the file.
func (l *LogFile) Close() error { return l.file.Close() }
