package workers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
)

// Bounds that keep the effort of sum in proportion to its payload: "1e999999999" is eleven bytes and a number that fills the memory.
const (
	maxExponent = 308     // what a float64 can hold, so no number from an ordinary program is refused
	maxDigits   = 1 << 16 // of one number; reading digits takes time in the square of their count, here some milliseconds
)

// sum adds up numbers, given as a JSON array or separated by commas, and returns the exact decimal in its shortest form:
// 0.1 and 0.2 are 0.3.
func sum(_ context.Context, payload string) (string, error) {
	pieces, err := splitNumbers(payload)
	if err != nil {
		return "", InvalidPayload(err)
	}
	// Numbers with the same exponent are added as whole numbers; the few totals are brought together at the end.
	totals := map[int]*big.Int{}
	for i, piece := range pieces {
		digits, exponent, err := parseDecimal(piece)
		if err != nil {
			return "", InvalidPayload(fmt.Errorf("number %d of %d: %w", i+1, len(pieces), err))
		}
		if total := totals[exponent]; total != nil {
			total.Add(total, digits)
		} else {
			totals[exponent] = digits
		}
	}
	return formatDecimal(combine(totals)), nil
}

// splitNumbers returns the pieces between the commas, without the blanks around them.
func splitNumbers(payload string) ([]string, error) {
	text := strings.TrimSpace(payload)
	if inner, opened := strings.CutPrefix(text, "["); opened {
		var closed bool
		if text, closed = strings.CutSuffix(inner, "]"); !closed {
			return nil, errors.New("the array has no closing bracket")
		}
		text = strings.TrimSpace(text)
	}
	if text == "" {
		return nil, errors.New("empty: there is no number to add")
	}
	pieces := strings.Split(text, ",")
	for i := range pieces {
		pieces[i] = strings.TrimSpace(pieces[i])
	}
	return pieces, nil
}

// parseDecimal reads a decimal number as digits × 10^exponent. The error names the piece.
func parseDecimal(piece string) (digits *big.Int, exponent int, err error) {
	if piece == "" {
		return nil, 0, errors.New("missing")
	}
	number := piece
	if i := strings.IndexAny(piece, "eE"); i >= 0 {
		var ok bool
		if exponent, ok = parseExponent(piece[i+1:]); !ok {
			return nil, 0, notDecimal(piece)
		}
		if exponent < -maxExponent || exponent > maxExponent {
			return nil, 0, fmt.Errorf("%s: the exponent must lie between -%d and %d", quote(piece), maxExponent, maxExponent)
		}
		number = piece[:i]
	}
	sign, rest := cutSign(number)
	whole, fraction, _ := strings.Cut(rest, ".")
	all := whole + fraction
	if len(all) > maxDigits {
		return nil, 0, fmt.Errorf("%s has %d digits: must be at most %d", quote(piece), len(all), maxDigits)
	}
	if !onlyDigits(all) {
		return nil, 0, notDecimal(piece)
	}
	digits, ok := new(big.Int).SetString(sign+all, 10)
	if !ok {
		return nil, 0, notDecimal(piece)
	}
	return digits, exponent - len(fraction), nil
}

// parseExponent reads what follows the e. One beyond maxExponent comes back as some number beyond maxExponent.
func parseExponent(text string) (exponent int, ok bool) {
	sign, digits := cutSign(text)
	if !onlyDigits(digits) {
		return 0, false
	}
	for _, digit := range digits {
		exponent = min(10*exponent+int(digit-'0'), maxExponent+1)
	}
	if sign == "-" {
		exponent = -exponent
	}
	return exponent, true
}

// combine returns the sum of totals[e] × 10^e as digits × 10^exponent. It goes from the largest exponent down, so that
// each step multiplies by no more than the distance to the next.
func combine(totals map[int]*big.Int) (digits *big.Int, exponent int) {
	digits = new(big.Int)
	ten := big.NewInt(10)
	for i, e := range slices.Backward(slices.Sorted(maps.Keys(totals))) {
		if i < len(totals)-1 {
			digits.Mul(digits, new(big.Int).Exp(ten, big.NewInt(int64(exponent-e)), nil))
		}
		digits.Add(digits, totals[e])
		exponent = e
	}
	return digits, exponent
}

// formatDecimal writes digits × 10^exponent without exponent, without zeros that say nothing, and zero as "0".
func formatDecimal(digits *big.Int, exponent int) string {
	if digits.Sign() == 0 {
		return "0"
	}
	text := new(big.Int).Abs(digits).String()
	sign := ""
	if digits.Sign() < 0 {
		sign = "-"
	}
	if exponent >= 0 {
		return sign + text + strings.Repeat("0", exponent)
	}
	places := -exponent
	if missing := places - len(text) + 1; missing > 0 {
		text = strings.Repeat("0", missing) + text
	}
	whole, fraction := text[:len(text)-places], strings.TrimRight(text[len(text)-places:], "0")
	if fraction == "" {
		return sign + whole
	}
	return sign + whole + "." + fraction
}

func cutSign(text string) (sign, rest string) {
	if text != "" && (text[0] == '-' || text[0] == '+') {
		return text[:1], text[1:]
	}
	return "", text
}

func onlyDigits(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}

func notDecimal(piece string) error {
	return fmt.Errorf("%s is not a decimal number", quote(piece))
}

// quote returns a piece of a payload in quotes, cut short, for an error message.
func quote(piece string) string {
	const most = 40 // letters; enough to recognise the piece
	letters := 0
	for i := range piece {
		if letters++; letters > most {
			return fmt.Sprintf("%q…", piece[:i])
		}
	}
	return fmt.Sprintf("%q", piece)
}
