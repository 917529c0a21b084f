// Package record is the file in which a worker writes down what it executed: one JSON document a line.
package record

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// Execution is what a handler returned.
type Execution struct {
	At     time.Time `json:"at"`
	Worker string    `json:"worker"`
	Task   uint64    `json:"task"`
	Token  uint64    `json:"token"`
	Result string    `json:"result"`
	Failed bool      `json:"failed"`
}

// Read reads a file. A last line without an end was being written when its worker was killed: it was never told, and is
// left out.
func Read(path string) ([]Execution, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var all []Execution
	lines := bufio.NewReader(file)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return all, nil //nolint:nilerr // the end of the file
		}
		var e Execution
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("%s: execution %d: %w", path, len(all)+1, err)
		}
		all = append(all, e)
	}
}
