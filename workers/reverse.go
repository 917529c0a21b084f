package workers

import (
	"context"
	"slices"

	"github.com/rivo/uniseg"
)

// reverse turns the text round by what a reader takes for a character (a grapheme cluster): accents stay on their
// letters, flags and families stay whole.
func reverse(_ context.Context, payload string) (string, error) {
	if !simple(payload) {
		return uniseg.ReverseString(payload), nil
	}
	letters := []byte(payload)
	slices.Reverse(letters)
	return string(letters), nil
}

// simple says whether each byte of the text is a character of its own: ASCII, and no carriage return, which makes one
// character with the line feed after it. For such text uniseg does the same, only slower.
func simple(text string) bool {
	for i := range len(text) {
		if text[i] >= 0x80 || text[i] == '\r' {
			return false
		}
	}
	return true
}
