package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// The values of --output.
const (
	formatTable = "table" // for people
	formatJSON  = "json"  // one document: an object, or an array of them where a verb answers with any number
	formatJSONL = "jsonl" // an object a line
)

var formats = []string{formatTable, formatJSON, formatJSONL}

func outputFormat(cmd *cobra.Command) (string, error) {
	format, _ := cmd.Flags().GetString("output")
	if !slices.Contains(formats, format) {
		return "", fmt.Errorf("output: %q: must be %s", format, strings.Join(formats, ", "))
	}
	return format, nil
}

// results writes what a verb found to stdout, in the format that was asked for. Each result has two forms: a value for
// JSON and cells for a table.
type results struct {
	w      io.Writer
	format string
	many   bool // JSON is an array
	live   bool // rows are shown as they come, not aligned with those after them
	count  int
	table  *tabwriter.Writer
}

// newResults begins the output of a verb that answers with any number of results. Header names the columns of the
// table; without it the table has no head.
func newResults(cmd *cobra.Command, header ...string) *results {
	r := newResult(cmd)
	r.many = true
	if r.format == formatTable && len(header) > 0 {
		fmt.Fprintln(r.table, strings.Join(header, "\t"))
	}
	return r
}

// newResult begins the output of a verb that answers with one result.
func newResult(cmd *cobra.Command) *results {
	format, _ := cmd.Flags().GetString("output") // newCall has checked it
	w := cmd.OutOrStdout()
	return &results{w: w, format: format, table: tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)}
}

// add writes one result.
func (r *results) add(value any, cells ...any) error {
	r.count++
	if r.format == formatTable {
		for i, cell := range cells {
			if i > 0 {
				fmt.Fprint(r.table, "\t")
			}
			fmt.Fprint(r.table, cell)
		}
		fmt.Fprintln(r.table)
		if r.live {
			return r.table.Flush()
		}
		return nil
	}
	if r.format == formatJSON && r.many {
		fmt.Fprint(r.w, map[bool]string{true: "[", false: ","}[r.count == 1])
	}
	encoder := json.NewEncoder(r.w)
	encoder.SetEscapeHTML(false)
	if r.format == formatJSON && !r.many {
		encoder.SetIndent("", "  ")
	}
	return encoder.Encode(value)
}

// close writes what is still to be written.
func (r *results) close() error {
	if r.format == formatJSON && r.many {
		text := "]\n"
		if r.count == 0 {
			text = "[]\n"
		}
		_, err := io.WriteString(r.w, text)
		return err
	}
	return r.table.Flush()
}

// results begins the output of a verb: of any number of results, or of one.
func (c *call) results(many bool) *results {
	if many {
		return newResults(c.cmd)
	}
	return newResult(c.cmd)
}

// complain keeps the first error of several to return it, and says the later ones on stderr at once.
func (c *call) complain(first, err error) error {
	if first == nil {
		return withCode(err)
	}
	fmt.Fprintln(c.cmd.ErrOrStderr(), "taskgrid:", withRequestID(err))
	return first
}
