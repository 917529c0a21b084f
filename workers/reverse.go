package workers

import (
	"context"

	"github.com/rivo/uniseg"
)

// reverse turns the text round by what a reader takes for a character (a grapheme cluster): accents stay on their
// letters, flags and families stay whole.
func reverse(_ context.Context, payload string) (string, error) {
	return uniseg.ReverseString(payload), nil
}
