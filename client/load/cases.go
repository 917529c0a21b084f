package load

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"time"
)

// Case is a task and what is to become of it. The expectation is made together with the payload, from its parts, and not
// by doing what a worker does: reversed clusters, sums of whole numbers, a table of upper-case words.
type Case struct {
	Type    string
	Payload string

	Want string // the result, of a good task

	Bad   bool   // the task must end FAILED, after one attempt
	Piece string // what the error must name; "" for nothing in particular
}

// badShare is one in so many tasks that is bad on purpose.
const badShare = 10

// Cases makes tasks from a seed: the same seed gives the same tasks. It is not safe for concurrent use.
type Cases struct {
	dice *rand.Rand
}

// NewCases returns the cases of a seed.
func NewCases(seed uint64) *Cases { return &Cases{rand.New(rand.NewPCG(seed, 0))} }

// Next returns the next case.
func (c *Cases) Next() Case {
	if c.dice.IntN(badShare) == 0 {
		return bad[c.dice.IntN(len(bad))]
	}
	makers := []func() Case{c.reverse, c.sum, c.hash, c.upper, c.wait}
	return makers[c.dice.IntN(len(makers))]()
}

// bad are tasks whose payload is wrong. reverse, hash and upper take any text, so there are none of them.
var bad = []Case{
	{Type: "sum", Payload: "", Bad: true},
	{Type: "sum", Payload: "1,,2", Bad: true},
	{Type: "sum", Payload: "1,banana,3", Bad: true, Piece: "banana"},
	{Type: "sum", Payload: "[1,2", Bad: true},
	{Type: "sum", Payload: "NaN,1", Bad: true, Piece: "NaN"},
	{Type: "sum", Payload: "1,Inf", Bad: true, Piece: "Inf"},
	{Type: "sum", Payload: "1e309", Bad: true, Piece: "1e309"},
	{Type: "wait", Payload: "-1", Bad: true, Piece: "-1"},
	{Type: "wait", Payload: "soon", Bad: true, Piece: "soon"},
	{Type: "wait", Payload: "3601", Bad: true, Piece: "3601"},
	{Type: "wait", Payload: "", Bad: true},
}

// clusters are what a reader takes for one character. None of them joins with a neighbour.
var clusters = []string{"a", "b", "Z", "7", " ", ".", "ä", "ß", "€", "世", "界", "🙂", "👩‍💻", "👍🏽", "e\u0301", "n\u0303", "🏳️‍🌈", "q\u0307\u0323"}

func (c *Cases) reverse() Case {
	n := c.dice.IntN(20)
	parts := make([]string, n)
	reversed := make([]string, n)
	for i := range n {
		parts[i] = clusters[c.dice.IntN(len(clusters))]
		reversed[n-1-i] = parts[i]
	}
	return Case{Type: "reverse", Payload: strings.Join(parts, ""), Want: strings.Join(reversed, "")}
}

// sum adds whole numbers of millionths.
func (c *Cases) sum() Case {
	const places = 6
	total := new(big.Int)
	var numbers []string
	for range 1 + c.dice.IntN(8) {
		millionths := big.NewInt(c.dice.Int64N(2_000_000_000_000) - 1_000_000_000_000)
		total.Add(total, millionths)
		numbers = append(numbers, decimal(millionths, places))
	}
	payload := strings.Join(numbers, []string{",", ", "}[c.dice.IntN(2)])
	if c.dice.IntN(2) == 0 {
		payload = "[" + payload + "]"
	}
	return Case{Type: "sum", Payload: payload, Want: decimal(total, places)}
}

// decimal writes n ÷ 10^places in its shortest form.
func decimal(n *big.Int, places int) string {
	digits := fmt.Sprintf("%0*s", places+1, new(big.Int).Abs(n).String())
	text := digits[:len(digits)-places] + "." + digits[len(digits)-places:]
	text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	if n.Sign() < 0 {
		text = "-" + text
	}
	return text
}

func (c *Cases) hash() Case {
	payload := c.text()
	digest := sha256.Sum256([]byte(payload))
	return Case{Type: "hash", Payload: payload, Want: hex.EncodeToString(digest[:])}
}

func (c *Cases) text() string {
	var b strings.Builder
	for range c.dice.IntN(100) {
		b.WriteString(clusters[c.dice.IntN(len(clusters))])
	}
	return b.String()
}

// words are texts and their upper case.
var words = [][2]string{
	{"straße", "STRASSE"}, {"hello", "HELLO"}, {"ñandú", "ÑANDÚ"}, {"ﬁnger", "FINGER"}, {"ŉ", "ʼN"}, {"όσο", "ΌΣΟ"},
	{"дом", "ДОМ"}, {"ALREADY", "ALREADY"}, {"42", "42"}, {"🙂", "🙂"}, {"世界", "世界"}, {"ǆ", "Ǆ"},
}

func (c *Cases) upper() Case {
	var lower, upper []string
	for range 1 + c.dice.IntN(6) {
		word := words[c.dice.IntN(len(words))]
		lower, upper = append(lower, word[0]), append(upper, word[1])
	}
	return Case{Type: "upper", Payload: strings.Join(lower, " "), Want: strings.Join(upper, " ")}
}

// wait waits up to 200 ms, long enough to be seen at work.
func (c *Cases) wait() Case {
	length := time.Duration(c.dice.IntN(200)) * time.Millisecond
	payload := length.String()
	if c.dice.IntN(2) == 0 {
		payload = fmt.Sprintf("%.3f", length.Seconds())
	}
	return Case{Type: "wait", Payload: payload, Want: "waited " + length.String()}
}
