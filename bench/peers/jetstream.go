package main

import (
	"context"
	"fmt"
	"log"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"taskgrid/bench/drive"
)

// The streams: tasks go to the worker, results to the submitter. Both are files, so that both survive a restart.
const (
	tasksStream   = "tasks"
	resultsStream = "done"
)

// jetstreamPeer is NATS JetStream: with its default (synced every two minutes), or synced before each answer.
type jetstreamPeer struct {
	children
	always bool
	conn   *nats.Conn
	stream jetstream.JetStream
	got    chan int
	stop   func()
}

func (p *jetstreamPeer) Name() string {
	if p.always {
		return "JetStream (sync_always)"
	}
	return "JetStream (default)"
}

func (p *jetstreamPeer) Start(ctx context.Context, folder string) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	mode := "default"
	if p.always {
		mode = "always"
	}
	if err := p.self("nats", port, folder, mode); err != nil {
		return err
	}
	address := "127.0.0.1:" + port
	if err := listening(ctx, address); err != nil {
		return err
	}
	if p.conn, p.stream, err = connectNATS(address); err != nil {
		return err
	}
	for _, name := range []string{tasksStream, resultsStream} {
		cfg := jetstream.StreamConfig{Name: name, Subjects: []string{name}, Retention: jetstream.WorkQueuePolicy, Storage: jetstream.FileStorage}
		if _, err := p.stream.CreateStream(ctx, cfg); err != nil {
			return err
		}
	}
	if err := p.self("jetstream", address); err != nil {
		return err
	}
	p.got = make(chan int, backlog)
	p.stop, err = consume(ctx, p.stream, resultsStream, func(m jetstream.Msg) {
		if err := checked(string(m.Data())); err != nil {
			log.Fatal(err)
		}
		_ = m.Ack() // a lost acknowledgement brings it again
		p.got <- 1
	})
	return err
}

func (p *jetstreamPeer) Run(ctx context.Context, n, inFlight int) error {
	submit := func(_ context.Context, k int) error {
		for range k {
			if _, err := p.stream.PublishAsync(tasksStream, []byte(drive.Payload)); err != nil {
				return err
			}
		}
		return nil
	}
	return loop(ctx, n, inFlight, 1, 1000, submit, p.got)
}

func (p *jetstreamPeer) Stop() {
	if p.stop != nil {
		p.stop()
	}
	if p.conn != nil {
		p.conn.Close()
	}
	p.children.stop()
}

func connectNATS(address string) (*nats.Conn, jetstream.JetStream, error) {
	conn, err := nats.Connect("nats://" + address)
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(4096))
	return conn, js, err
}

// consume calls take for each message of a stream, until the returned function is called.
func consume(ctx context.Context, js jetstream.JetStream, stream string, take func(jetstream.Msg)) (stop func(), err error) {
	consumer, err := js.CreateOrUpdateConsumer(ctx, stream, jetstream.ConsumerConfig{
		Durable: stream, AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 2 * backlog,
	})
	if err != nil {
		return nil, err
	}
	consuming, err := consumer.Consume(take, jetstream.PullMaxMessages(4096))
	if err != nil {
		return nil, err
	}
	return consuming.Stop, nil
}

// serveJetStream is the worker: a task is acknowledged when its result is stored.
func serveJetStream(ctx context.Context, address string) error {
	conn, js, err := connectNATS(address)
	if err != nil {
		return err
	}
	defer conn.Close()
	type pending struct {
		task   jetstream.Msg
		stored jetstream.PubAckFuture
	}
	results := make(chan pending, 4096)
	go func() {
		for r := range results {
			select {
			case <-r.stored.Ok():
				_ = r.task.Ack() // a lost acknowledgement brings it again
			case <-r.stored.Err():
				_ = r.task.Nak()
			}
		}
	}()
	stop, err := consume(ctx, js, tasksStream, func(m jetstream.Msg) {
		stored, err := js.PublishAsync(resultsStream, []byte(reversed(string(m.Data()))))
		if err != nil {
			_ = m.Nak()
			return
		}
		results <- pending{m, stored}
	})
	if err != nil {
		return err
	}
	<-ctx.Done()
	stop()
	return nil
}

// serveNATS is the server.
func serveNATS(ctx context.Context, port, folder string, always bool) error {
	number, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: number, JetStream: true, StoreDir: folder, SyncAlways: always, NoSigs: true})
	if err != nil {
		return err
	}
	s.Start()
	if !s.ReadyForConnections(30 * time.Second) {
		return fmt.Errorf("the NATS server is not ready")
	}
	<-ctx.Done()
	s.Shutdown()
	s.WaitForShutdown()
	return nil
}
