package workers

import (
	"context"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

// upper returns the text in capitals, by the full mapping of Unicode, under which one letter may become several:
// "straße" is "STRASSE". (strings.ToUpper maps letter by letter and leaves the ß.)
func upper(_ context.Context, payload string) (string, error) {
	// A Caser has state, so each call makes its own.
	return cases.Upper(language.Und).String(payload), nil
}
