package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"taskgrid/bench/drive"
)

// riverPeer is river on PostgreSQL, which syncs each commit. Jobs are inserted in bulk; the submitter asks the table for what
// has completed.
type riverPeer struct {
	children
	pool   *pgxpool.Pool
	client *river.Client[pgx.Tx]
	got    chan int
	stop   context.CancelFunc
}

func (*riverPeer) Name() string { return "river (PostgreSQL)" }

// postgres finds a program of PostgreSQL, which Debian keeps out of PATH.
func postgres(program string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + program)
	if len(found) == 0 {
		return "", fmt.Errorf("PostgreSQL is not installed: there is no %s", program)
	}
	return slices.Max(found), nil
}

// notRoot returns a user for PostgreSQL, which refuses to run as root: 0 if we are not root anyway.
func notRoot() (uint32, error) {
	if os.Getuid() != 0 {
		return 0, nil
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		return 0, err
	}
	uid, err := strconv.ParseUint(nobody.Uid, 10, 32)
	return uint32(uid), err
}

func (p *riverPeer) Start(ctx context.Context, folder string) error {
	initdb, err := postgres("initdb")
	if err != nil {
		return err
	}
	server, err := postgres("postgres")
	if err != nil {
		return err
	}
	uid, err := notRoot()
	if err != nil {
		return err
	}
	if uid != 0 {
		if err := os.Chown(folder, int(uid), int(uid)); err != nil {
			return err
		}
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	data := filepath.Join(folder, "pg")
	if err := p.run(uid, initdb, "-D", data, "-U", "bench", "--auth=trust", "--encoding=UTF8", "--no-instructions"); err != nil {
		return err
	}
	if err := p.running[0].Wait(); err != nil {
		return fmt.Errorf("initdb: %w", err)
	}
	p.running = nil
	if err := p.run(uid, server, "-D", data, "-p", port, "-h", "127.0.0.1", "-k", folder, "-c", "log_min_messages=fatal"); err != nil {
		return err
	}
	if err := listening(ctx, "127.0.0.1:"+port); err != nil {
		return err
	}
	url := "postgres://bench@127.0.0.1:" + port + "/postgres?pool_max_conns=20"
	if err := p.migrate(ctx, url); err != nil {
		return err
	}
	if err := p.self("river", url); err != nil {
		return err
	}
	p.got = make(chan int, backlog)
	ctx, p.stop = context.WithCancel(ctx)
	go p.receive(ctx)
	return nil
}

// migrate connects and makes the tables.
func (p *riverPeer) migrate(ctx context.Context, url string) (err error) {
	if p.pool, err = pgxpool.New(ctx, url); err != nil {
		return err
	}
	if err := answering(ctx, p.pool); err != nil {
		return err
	}
	driver := riverpgxv5.New(p.pool)
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return err
	}
	p.client, err = river.NewClient(driver, &river.Config{})
	return err
}

// answering waits until PostgreSQL, which listens before it answers, does.
func answering(ctx context.Context, pool *pgxpool.Pool) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for {
		err := pool.Ping(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return err
		}
	}
}

// receive asks for the results of jobs that it has not seen yet, many times a second. All below lowest are seen.
func (p *riverPeer) receive(ctx context.Context) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	lowest, seen := int64(0), map[int64]bool{}
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		rows, err := p.pool.Query(ctx, "SELECT id, metadata->>'output' FROM river_job WHERE state = 'completed' AND id > $1", lowest)
		if err != nil {
			continue // the end
		}
		k := 0
		for rows.Next() {
			var id int64
			var result string
			if err := rows.Scan(&id, &result); err != nil {
				log.Fatal(err)
			}
			if seen[id] {
				continue
			}
			if err := checked(result); err != nil {
				log.Fatal(err)
			}
			seen[id] = true
			k++
		}
		rows.Close()
		for seen[lowest+1] {
			delete(seen, lowest+1)
			lowest++
		}
		if k > 0 {
			p.got <- k
		}
	}
}

func (p *riverPeer) Run(ctx context.Context, n, inFlight int) error {
	submit := func(ctx context.Context, k int) error {
		jobs := make([]river.InsertManyParams, k)
		for i := range jobs {
			jobs[i].Args = reverseArgs{Text: drive.Payload}
		}
		_, err := p.client.InsertManyFast(ctx, jobs)
		return err
	}
	return loop(ctx, n, inFlight, 2, 1000, submit, p.got)
}

func (p *riverPeer) Stop() {
	if p.stop != nil {
		p.stop()
	}
	if p.pool != nil {
		p.pool.Close()
	}
	p.children.stop()
}

// reverseArgs is the job.
type reverseArgs struct {
	Text string `json:"text"`
}

// Kind names the job's type.
func (reverseArgs) Kind() string { return "reverse" }

type reverseWorker struct {
	river.WorkerDefaults[reverseArgs]
}

// Work does the job.
func (reverseWorker) Work(ctx context.Context, job *river.Job[reverseArgs]) error {
	return river.RecordOutput(ctx, reversed(job.Args.Text))
}

// serveRiver is the worker. It fetches as soon as river allows it to.
func serveRiver(ctx context.Context, url string) error {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return err
	}
	defer pool.Close()
	workers := river.NewWorkers()
	river.AddWorker(workers, &reverseWorker{})
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
		Workers: workers, Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 1000}},
		FetchCooldown: river.FetchCooldownMin, FetchPollInterval: 10 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		return err
	}
	if err := client.Start(ctx); err != nil {
		return err
	}
	<-client.Stopped()
	return nil
}
