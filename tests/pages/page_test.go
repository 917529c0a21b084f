//go:build unix

package pages

import (
	"fmt"
	"strings"
)

// block is a code block of a page.
type block struct {
	language string
	file     string // "" if none is named
	text     string
}

// blocksOf returns the code blocks of a page in their order.
func blocksOf(page string) (blocks []block, err error) {
	var open *block
	for line := range strings.Lines(page) {
		info, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && open == nil:
			language, file, _ := strings.Cut(strings.TrimSpace(info), " ")
			open = &block{language: language, file: file}
		case fence:
			blocks = append(blocks, *open)
			open = nil
		case open != nil:
			open.text += line
		}
	}
	if open != nil {
		return nil, fmt.Errorf("the block of %s is not closed", open.language)
	}
	return blocks, nil
}

// commands returns the commands of a block of sh: one a line, where a line that ends in a backslash goes on in the next.
func (b block) commands() []string {
	return block{text: strings.ReplaceAll(b.text, "\\\n", " ")}.lines()
}

// lines returns the lines that are not empty.
func (b block) lines() []string {
	return strings.FieldsFunc(b.text, func(r rune) bool { return r == '\n' })
}
