// Command mutants shows that the tests notice the mistakes that a task grid is usually made with. Each mutant of list.go is
// a small change of our own code that is laid over it for one run of go test (-overlay), and is never part of a program.
//
//	go run ./tests/mutants              all of them
//	go run ./tests/mutants -only lease  those whose name contains the word
//
// First the unchanged code must pass the tests that the list names. Then every mutant must fail one of its own. A table
// says which test killed it. The exit code is 1 when one survives, does not build, or no longer fits the code.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

func main() {
	only := flag.String("only", "", "only mutants whose name contains this")
	parallel := flag.Int("parallel", 2, "so many at a time")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *only, *parallel); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, only string, parallel int) error {
	var chosen []mutant
	for _, m := range list {
		if strings.Contains(m.name, only) {
			chosen = append(chosen, m)
		}
	}
	began := time.Now()
	if err := checkUnchanged(ctx, chosen, parallel); err != nil {
		return err
	}
	verdicts := make([]verdict, len(chosen))
	each(len(chosen), parallel, func(i int) { verdicts[i] = try(ctx, chosen[i]) })
	if err := ctx.Err(); err != nil {
		return err
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "mutant\tkilled by\tseconds")
	bad := 0
	for i, v := range verdicts {
		killer := v.killer
		if v.err != nil {
			bad++
			killer = "NOT KILLED: " + v.err.Error()
		}
		fmt.Fprintf(table, "%s\t%s\t%.1f\n", chosen[i].name, killer, v.took.Seconds())
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Printf("%d mutants, %d killed, in %.0f s\n", len(chosen), len(chosen)-bad, time.Since(began).Seconds())
	if bad > 0 {
		return fmt.Errorf("%d of %d were not killed", bad, len(chosen))
	}
	return nil
}

// each calls do for 0 to n-1, so many at a time.
func each(n, parallel int, do func(i int)) {
	var group sync.WaitGroup
	free := make(chan struct{}, parallel)
	for i := range n {
		free <- struct{}{}
		group.Go(func() {
			defer func() { <-free }()
			do(i)
		})
	}
	group.Wait()
}
