package settings

import (
	"errors"
	"fmt"

	"github.com/spf13/pflag"
)

// rules say what a flag of a type takes, by pflag's name of the type.
var rules = map[string]string{
	"bool":           "true or false",
	"duration":       "a duration, such as 250ms, 1.5s or 2m",
	"float64":        "a number",
	"int":            "a whole number",
	"int32":          "a whole number",
	"int64":          "a whole number",
	"uint":           "a whole number from 0 on",
	"uint32":         "a whole number from 0 on",
	"stringToInt":    "name=number, several separated by commas",
	"stringToString": "key=value, several separated by commas",
}

// Explain says an error of reading a flag in our words: flag, value and rule, instead of the Go function that failed.
func Explain(err error) error {
	var invalid *pflag.InvalidValueError
	var missing *pflag.ValueRequiredError
	switch {
	case errors.As(err, &invalid):
		if rule, ok := rules[invalid.GetFlag().Value.Type()]; ok {
			return fmt.Errorf("%s: %q: must be %s", invalid.GetFlag().Name, invalid.GetValue(), rule)
		}
	case errors.As(err, &missing):
		return fmt.Errorf("%s: needs a value", missing.GetFlag().Name)
	}
	return err
}
