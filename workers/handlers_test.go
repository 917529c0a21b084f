package workers

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/rivo/uniseg"
	"pgregory.net/rapid"
)

func TestHandlersGiveTheResultsOfTheContract(t *testing.T) {
	for _, test := range []struct {
		taskType, payload, want string
	}{
		{"reverse", "", ""},
		{"reverse", "hello", "olleh"},
		{"reverse", "äöü€", "€üöä"},
		{"reverse", "a🙂b", "b🙂a"},
		{"reverse", "e\u0301x", "xe\u0301"}, // an accent as a sign of its own
		{"reverse", "👩‍👩‍👧!🇩🇪🇫🇷", "🇫🇷🇩🇪!👩‍👩‍👧"}, // a family, flags
		{"reverse", "a\r\nb", "b\r\na"},
		{"sum", "1,2,3", "6"},
		{"sum", "[0.1,0.2]", "0.3"},
		{"sum", "-5,5", "0"},
		{"sum", " [ 1 , 2.50 ] ", "3.5"},
		{"sum", "\n1,\t2\n", "3"},
		{"sum", "7", "7"},
		{"sum", "-0", "0"},
		{"sum", "0.10", "0.1"},
		{"sum", "100", "100"},
		{"sum", "1e3,1", "1001"},
		{"sum", "1E+2,1e-2", "100.01"},
		{"sum", "-1.5,0.25", "-1.25"},
		{"sum", ".5,+1,2.", "3.5"},
		{"sum", "007", "7"},
		{"sum", "9007199254740993,1", "9007199254740994"}, // more than a float64 holds
		{"sum", "1e308,-1e308,1e-308", "0." + strings.Repeat("0", 307) + "1"},
		{"sum", "1e0308", "1" + strings.Repeat("0", 308)},
		{"hash", "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		{"hash", "hello", "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"},
		{"hash", "€", "c4cc90ed3d26f12d4b08a75140970a7904035c31cbb4515a83f19b9003c00d1d"},
		{"upper", "", ""},
		{"upper", "straße", "STRASSE"},
		{"upper", "ﬁn, ὀδυσσεύς", "FIN, ὈΔΥΣΣΕΎΣ"},
		{"wait", "0", "waited 0s"},
		{"wait", "2", "waited 2s"},
		{"wait", "1.5", "waited 1.5s"},
		{"wait", "250ms", "waited 250ms"},
		{"wait", " 3 ", "waited 3s"},
		{"wait", "3600", "waited 1h0m0s"},
		{"wait", "1h", "waited 1h0m0s"},
	} {
		synctest.Test(t, func(t *testing.T) { // so that waiting takes no time
			got, err := catalog[test.taskType].Run(t.Context(), test.payload)
			if err != nil || got != test.want {
				t.Errorf("%s %q: got %q, %v; want %q", test.taskType, test.payload, got, err, test.want)
			}
		})
	}
}

func TestBadPayloadsAreNamed(t *testing.T) {
	long := strings.Repeat("z", 1000)
	for _, test := range []struct {
		taskType, payload, want string
	}{
		{"sum", "", "empty: there is no number to add"},
		{"sum", "  ", "empty: there is no number to add"},
		{"sum", "[]", "empty: there is no number to add"},
		{"sum", "1,,2", "number 2 of 3: missing"},
		{"sum", "1,2,", "number 3 of 3: missing"},
		{"sum", "[1,2", "the array has no closing bracket"},
		{"sum", "1,abc", `number 2 of 2: "abc" is not a decimal number`},
		{"sum", "NaN", `number 1 of 1: "NaN" is not a decimal number`},
		{"sum", "1,-Inf", `number 2 of 2: "-Inf" is not a decimal number`},
		{"sum", "0x10", `number 1 of 1: "0x10" is not a decimal number`},
		{"sum", "1_000", `number 1 of 1: "1_000" is not a decimal number`},
		{"sum", "1 2", `number 1 of 1: "1 2" is not a decimal number`},
		{"sum", "1.2.3", `number 1 of 1: "1.2.3" is not a decimal number`},
		{"sum", ".", `number 1 of 1: "." is not a decimal number`},
		{"sum", "--1", `number 1 of 1: "--1" is not a decimal number`},
		{"sum", "e5", `number 1 of 1: "e5" is not a decimal number`},
		{"sum", "1e", `number 1 of 1: "1e" is not a decimal number`},
		{"sum", "٣", `number 1 of 1: "٣" is not a decimal number`},
		{"sum", `["1"]`, `number 1 of 1: "\"1\"" is not a decimal number`},
		{"sum", "1e309", `number 1 of 1: "1e309": the exponent must lie between -308 and 308`},
		{"sum", "1e-309", `number 1 of 1: "1e-309": the exponent must lie between -308 and 308`},
		{"sum", "5,1e99999999999999999999", `number 2 of 2: "1e99999999999999999999": the exponent must lie between -308 and 308`},
		{"sum", long, `number 1 of 1: "` + long[:40] + `"… is not a decimal number`},
		{"wait", "", `"" is not a time to wait: must be seconds such as 2 or 1.5, or a duration such as 250ms`},
		{"wait", "soon", `"soon" is not a time to wait: must be seconds such as 2 or 1.5, or a duration such as 250ms`},
		{"wait", "NaN", `"NaN" is not a time to wait: must be seconds such as 2 or 1.5, or a duration such as 250ms`},
		{"wait", "Inf", `"Inf" is not a time to wait: must be seconds such as 2 or 1.5, or a duration such as 250ms`},
		{"wait", "0x2", `"0x2" is not a time to wait: must be seconds such as 2 or 1.5, or a duration such as 250ms`},
		{"wait", "-1", `"-1" is negative: must be 0 to 3600 seconds`},
		{"wait", "-5ms", `"-5ms" is negative: must be 0 to 3600 seconds`},
		{"wait", "3601", `"3601" is too long: must be 0 to 3600 seconds`},
		{"wait", "1e300", `"1e300" is too long: must be 0 to 3600 seconds`},
		{"wait", "2h", `"2h" is too long: must be 0 to 3600 seconds`},
	} {
		_, err := catalog[test.taskType].Run(t.Context(), test.payload)
		if err == nil || err.Error() != test.want || endingOf(err) != FailedInvalidPayload {
			t.Errorf("%s %.60q: got %v; want %q as invalid payload", test.taskType, test.payload, err, test.want)
		}
	}
}

// The bounds hold what an attacker can make of 64 KiB to some milliseconds; without them a single number takes hours.
func TestTheEffortOfSumIsBounded(t *testing.T) {
	var spread []string
	for exponent := -308; exponent <= 308; exponent++ {
		spread = append(spread, fmt.Sprintf("1e%d", exponent))
	}
	for name, payload := range map[string]string{
		"one long number":        strings.Repeat("9", 65000),
		"one long fraction":      "0." + strings.Repeat("9", 65000),
		"every exponent":         strings.Join(spread, ","),
		"many beside a long one": strings.Repeat("9", 32000) + strings.Repeat(",1", 16000),
		"too many digits":        strings.Repeat("9", 1<<20),
		"a huge exponent":        "1e" + strings.Repeat("9", 60000),
	} {
		start := time.Now()
		sum(t.Context(), payload)
		if took := time.Since(start); took > 5*time.Second { // a busy machine with the race detector
			t.Errorf("%s: %s", name, took)
		}
	}
}

func TestSumAgreesWithRationalNumbers(t *testing.T) {
	number := rapid.StringMatching(`[-+]?([0-9]{1,25}(\.[0-9]{0,25})?|\.[0-9]{1,5})([eE][-+]?[0-9]{1,2})?`)
	rapid.Check(t, func(t *rapid.T) {
		numbers := rapid.SliceOfN(number, 1, 8).Draw(t, "numbers")
		payload := strings.Join(numbers, rapid.SampledFrom([]string{",", " , ", ",\n"}).Draw(t, "separator"))
		if rapid.Bool().Draw(t, "array") {
			payload = "[" + payload + "]"
		}
		want := new(big.Rat)
		for _, n := range numbers {
			r, ok := new(big.Rat).SetString(n)
			if !ok {
				t.Fatalf("the model cannot read %q", n)
			}
			want.Add(want, r)
		}
		text, err := sum(context.Background(), payload)
		if err != nil {
			t.Fatalf("sum of %q: %v", payload, err)
		}
		got, ok := new(big.Rat).SetString(text)
		if !ok || got.Cmp(want) != 0 {
			t.Fatalf("sum of %q: got %s, want %s", payload, text, want.FloatString(60))
		}
		if err := shortest(text); err != nil {
			t.Fatalf("sum of %q: got %s: %v", payload, text, err)
		}
	})
}

// shortest says what is too long about a decimal.
func shortest(text string) error {
	digits := strings.TrimPrefix(text, "-")
	whole, fraction, point := strings.Cut(digits, ".")
	switch {
	case text == "-0", strings.ContainsAny(text, "eE+"):
		return errors.New("not in plain form")
	case whole == "" || whole != "0" && whole[0] == '0':
		return errors.New("zeros in front")
	case point && (fraction == "" || strings.HasSuffix(fraction, "0")):
		return errors.New("zeros at the end")
	}
	return nil
}

func TestReversedTwiceIsWhatItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Letters, accents and pictures in any order; signs that join with what happens to follow are left out, for turned
		// round they join with something else.
		text := strings.Join(rapid.SliceOf(rapid.SampledFrom([]string{"a", "ß", "e\u0301", "€", "🙂", "\r\n", "👩‍👩‍👧", "日"})).Draw(t, "text"), "")
		once, _ := reverse(context.Background(), text)
		if twice, _ := reverse(context.Background(), once); twice != text {
			t.Fatalf("%q became %q", text, twice)
		}
	})
}

func TestShortWayOfReverseGivesWhatTheLongWayGives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := string(rapid.SliceOf(rapid.ByteMax(0x7f)).Draw(t, "text"))
		if got, _ := reverse(context.Background(), text); got != uniseg.ReverseString(text) {
			t.Fatalf("%q: got %q, want %q", text, got, uniseg.ReverseString(text))
		}
	})
}

func TestSelectNamesTheKnownTypes(t *testing.T) {
	_, _, err := Select([]string{"hash", "hahs"})
	if want := `unknown task type "hahs": the known ones are hash, reverse, sum, upper, wait`; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s and perhaps more", err, want)
	}
	if _, _, err := Select([]string{"hash", "hash"}); err == nil {
		t.Error("a type given twice is accepted")
	}
}

func TestTheLargestCapacityOfSeveralTypesCounts(t *testing.T) {
	if _, capacity, _ := Select([]string{"hash", "wait"}); capacity != 100 {
		t.Errorf("hash and wait together: %d, want the 100 of wait", capacity)
	}
}

func TestEveryTypeHasANameThatTheGridAccepts(t *testing.T) {
	for _, name := range Names() {
		if name == "" || len(name) > 32 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			t.Errorf("%q: must be 1 to 32 characters of a-z, 0-9, '-' and '_'", name)
		}
		if catalog[name].Run == nil {
			t.Errorf("%s has no handler", name)
		}
	}
	if !slices.IsSorted(Names()) {
		t.Error("names are not sorted")
	}
}

// The fuzz targets hold for every handler: no panic, valid text, and an error only as an invalid payload.
func fuzzHandler(f *testing.F, taskType string, seeds ...string) {
	for _, seed := range seeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, payload string) {
		if !utf8.ValidString(payload) || len(payload) > 64<<10 {
			t.Skip("the dispatcher lets no such payload through")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // nothing waits
		result, err := catalog[taskType].Run(ctx, payload)
		switch {
		case errors.Is(err, context.Canceled):
		case err != nil && endingOf(err) != FailedInvalidPayload:
			t.Errorf("%q: %v is not an invalid payload", payload, err)
		case !utf8.ValidString(result):
			t.Errorf("%q: the result %q is not valid UTF-8", payload, result)
		}
		if err != nil && !utf8.ValidString(err.Error()) {
			t.Errorf("%q: the error %q is not valid UTF-8", payload, err)
		}
	})
}

func FuzzReverse(f *testing.F) {
	fuzzHandler(f, "reverse", "", "a🙂b", "e\u0301", "\r\n", "🇩🇪🇫🇷")
}
func FuzzHash(f *testing.F)  { fuzzHandler(f, "hash", "", "€") }
func FuzzUpper(f *testing.F) { fuzzHandler(f, "upper", "", "straße", "ŉ", "ﬃ") }
func FuzzWait(f *testing.F) {
	fuzzHandler(f, "wait", "2", "1.5", "250ms", "1e308", "-1", "NaN", "1h1m")
}
func FuzzSum(f *testing.F) {
	fuzzHandler(f, "sum", "1,2,3", "[0.1,0.2]", "-5,5", "1e308", "1e-308,.5", "[]", "1,,2", "NaN", "1e999999999")
}
