package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os/exec"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"taskgrid/bench/drive"
)

// results is the Redis list by which the submitter learns of results: asynq itself has no way but asking for each task.
const results = "results"

// asynqPeer is asynq on Redis: with Redis's default (a snapshot now and then, nothing is synced before it is told), or with
// an append-only file that is synced before each answer.
type asynqPeer struct {
	children
	always bool
	redis  *redis.Client
	client *asynq.Client
	got    chan int
	stop   context.CancelFunc
}

func (p *asynqPeer) Name() string {
	if p.always {
		return "asynq (appendfsync always)"
	}
	return "asynq (default)"
}

func (p *asynqPeer) Start(ctx context.Context, folder string) error {
	server, err := exec.LookPath("redis-server")
	if err != nil {
		return fmt.Errorf("redis-server is not installed: %w", err)
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	args := []string{"--port", port, "--bind", "127.0.0.1", "--dir", folder, "--loglevel", "warning"}
	if p.always {
		args = append(args, "--appendonly", "yes", "--appendfsync", "always")
	}
	if err := p.run(0, server, args...); err != nil {
		return err
	}
	address := "127.0.0.1:" + port
	if err := listening(ctx, address); err != nil {
		return err
	}
	if err := p.self("asynq", address); err != nil {
		return err
	}
	p.redis = redis.NewClient(&redis.Options{Addr: address})
	p.client = asynq.NewClient(asynq.RedisClientOpt{Addr: address})
	p.got = make(chan int, backlog)
	ctx, p.stop = context.WithCancel(ctx)
	go p.receive(ctx)
	return nil
}

// receive takes results off the list, many at a time where there are many.
func (p *asynqPeer) receive(ctx context.Context) {
	for ctx.Err() == nil {
		first, err := p.redis.BLPop(ctx, time.Second, results).Result()
		if err != nil {
			continue // none within the second, or the end
		}
		more, _ := p.redis.LPopCount(ctx, results, 1000).Result() // an empty list is an error
		for _, result := range append(more, first[1]) {
			if err := checked(result); err != nil {
				log.Fatal(err)
			}
		}
		p.got <- 1 + len(more)
	}
}

func (p *asynqPeer) Run(ctx context.Context, n, inFlight int) error {
	task := asynq.NewTask("reverse", []byte(drive.Payload))
	submit := func(ctx context.Context, _ int) error {
		_, err := p.client.EnqueueContext(ctx, task)
		return err
	}
	return loop(ctx, n, inFlight, 64, 1, submit, p.got) // it has no way to submit several at once
}

func (p *asynqPeer) Stop() {
	if p.stop != nil {
		p.stop()
		p.client.Close()
		p.redis.Close()
	}
	p.children.stop()
}

// serveAsynq is the worker.
func serveAsynq(ctx context.Context, address string) error {
	rdb := redis.NewClient(&redis.Options{Addr: address})
	defer rdb.Close()
	server := asynq.NewServer(asynq.RedisClientOpt{Addr: address}, asynq.Config{
		Concurrency: 64, LogLevel: asynq.FatalLevel, TaskCheckInterval: 200 * time.Millisecond,
	})
	mux := asynq.NewServeMux()
	mux.HandleFunc("reverse", func(ctx context.Context, task *asynq.Task) error {
		return rdb.RPush(ctx, results, reversed(string(task.Payload()))).Err()
	})
	if err := server.Start(mux); err != nil {
		return err
	}
	<-ctx.Done()
	log.SetOutput(io.Discard)
	server.Shutdown()
	return nil
}
