package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"taskgrid/client"
	pb "taskgrid/proto/taskgrid/v1"
)

// newRaftCommand returns the verbs of an operator of several dispatchers. docs/replicas.md is their manual.
func newRaftCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "raft [VERB]",
		Short: "Look after the dispatchers that replicate one journal: list, add, remove, hand over, back up, restore",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return exitError{exitUsage, fmt.Errorf("%q: is no verb of taskgrid raft; these are: list, add, remove, transfer, snapshot, restore", args[0])}
		},
	}
	force := false
	snapshot := raftVerb("snapshot FILE", "Write a backup of all tasks to a file, while work goes on", raftSnapshot)
	restore := raftVerb("restore FILE", "Replace all tasks by those of a backup", func(c *call, args []string) error {
		return raftRestore(c, args[0], force)
	})
	restore.Flags().BoolVar(&force, "force", false, "restore even where tasks were accepted already: they are lost")
	for _, files := range []*cobra.Command{snapshot, restore} {
		files.ValidArgsFunction = nil // files
	}
	cmd.AddCommand(
		raftVerb("list", "List the dispatchers, who leads, and how far each one is", raftList),
		raftVerb("add ID RAFT-ADDRESS", "Let a dispatcher that was started with --join take part; it asks for it by itself where it finds the leader",
			func(c *call, args []string) error {
				if err := addressOf("raft-address", args[1]); err != nil {
					return err
				}
				already, err := c.client.AddMember(c.ctx, args[0], args[1])
				if err != nil {
					return err
				}
				done := raftDone{ID: args[0], Done: "added"}
				if already {
					done.Done = "is a member already"
				}
				return c.say(done)
			}),
		raftVerb("remove ID", "Take a dispatcher out of the cluster, one that is lost as well", func(c *call, args []string) error {
			if err := c.client.RemoveMember(c.ctx, args[0]); err != nil {
				return err
			}
			return c.say(raftDone{ID: args[0], Done: "removed"})
		}),
		newTransferCommand(), snapshot, restore,
	)
	return cmd
}

// raftVerb returns a command whose arguments are those of its line of usage.
func raftVerb(use, short string, run func(c *call, args []string) error) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: arguments, RunE: verb(run), ValidArgsFunction: cobra.NoFileCompletions}
	addGridFlags(cmd)
	addTokenFlags(cmd)
	return cmd
}

func newTransferCommand() *cobra.Command {
	return raftVerb("transfer [ID]", "Hand leadership to another dispatcher; without ID to whichever has the most of the log", func(c *call, args []string) error {
		to := ""
		if len(args) > 0 {
			to = args[0]
		}
		leader, err := c.client.TransferLeadership(c.ctx, to)
		if err != nil {
			return err
		}
		return c.say(raftDone{ID: leader, Done: "leads"})
	})
}

// raftDone is what most of the verbs answer.
type raftDone struct {
	ID   string `json:"id,omitempty"`
	Done string `json:"done"`
}

func (c *call) say(d raftDone) error {
	out := newResult(c.cmd)
	if err := out.add(d, orDash(d.ID), d.Done); err != nil {
		return err
	}
	return out.close()
}

// raftMember is a line of taskgrid raft list.
type raftMember struct {
	ID           string `json:"id"`
	State        string `json:"state"` // leader, follower, candidate, stopped, unreachable, or alone: it runs and hears of no leader
	Voter        bool   `json:"voter"`
	RaftAddress  string `json:"raft_address"`
	Address      string `json:"address,omitempty"`
	Version      string `json:"version,omitempty"`
	Term         uint64 `json:"term,omitempty"`
	AppliedIndex uint64 `json:"applied_index,omitempty"`
	ReadsFormat  uint32 `json:"reads_format,omitempty"`
	Cluster      string `json:"cluster,omitempty"`
}

func raftList(c *call, _ []string) error {
	all, err := c.client.Members(c.ctx)
	if errors.Is(err, client.ErrUnreachable) && !c.cmd.Flags().Changed("dispatcher") {
		return fmt.Errorf("%w; where nobody leads, any dispatcher tells what it knows: --dispatcher HOST:PORT", err)
	}
	if err != nil {
		return err
	}
	lines := make([]raftMember, len(all.Members))
	var asking sync.WaitGroup
	for i, m := range all.Members {
		lines[i] = raftMember{ID: m.Id, State: "unreachable", Voter: m.Voter, RaftAddress: m.RaftAddress, Address: m.Address,
			Version: m.Version, ReadsFormat: m.ReadsFormat, Cluster: all.Cluster}
		asking.Go(func() {
			if own := askMember(c, m, all); own != nil {
				lines[i].State, lines[i].Term, lines[i].AppliedIndex = own.State, own.Term, own.AppliedIndex
				if all.Leader != "" && own.Leader == "" {
					lines[i].State = "alone"
				}
			}
		})
	}
	asking.Wait()
	out := newResults(c.cmd, "ID", "STATE", "VOTES", "RAFT ADDRESS", "ADDRESS", "VERSION", "TERM", "APPLIED")
	for _, l := range lines {
		votes := map[bool]string{true: "yes", false: "catching up"}[l.Voter]
		if err := out.add(l, l.ID, l.State, votes, l.RaftAddress, orDash(l.Address), orDash(l.Version), l.Term, l.AppliedIndex); err != nil {
			return err
		}
	}
	return out.close()
}

// askMember asks a member how it stands itself; nil when it does not answer within a second.
func askMember(c *call, m *pb.Member, all *pb.ListMembersResponse) *pb.ListMembersResponse {
	if m.Id == all.Id {
		return all
	}
	if m.Address == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(c.ctx, time.Second)
	defer cancel()
	one, err := client.New(client.Config{Dispatcher: m.Address, Sender: sender, DialOptions: c.dial})
	if err != nil {
		return nil
	}
	defer one.Close()
	own, err := one.Members(ctx)
	if err != nil || own.Id != m.Id {
		return nil
	}
	return own
}

// raftSnapshot writes a backup beside the file and puts it in place when it is whole and on disk.
func raftSnapshot(c *call, args []string) (err error) {
	path := args[0]
	if _, err := os.Stat(path); err == nil {
		return exitError{exitUsage, fmt.Errorf("FILE: %q: is there already; a backup overwrites nothing", path)}
	}
	f, err := os.Create(path + ".tmp")
	if err != nil {
		return exitError{exitFailed, err}
	}
	defer func() {
		if f.Close(); err != nil {
			os.Remove(f.Name())
		}
	}()
	if err := c.client.Backup(c.ctx, func() (io.Writer, error) {
		_, err := f.Seek(0, io.SeekStart)
		return f, errors.Join(err, f.Truncate(0))
	}); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	value := struct {
		File  string `json:"file"`
		Bytes int64  `json:"bytes"`
	}{path, info.Size()}
	out := newResult(c.cmd)
	if err := out.add(value, path, fmt.Sprintf("%d bytes", info.Size())); err != nil {
		return err
	}
	return out.close()
}

func raftRestore(c *call, path string, force bool) error {
	f, err := os.Open(path)
	if err != nil {
		return exitError{exitUsage, fmt.Errorf("FILE: %w", err)}
	}
	defer f.Close()
	resp, err := c.client.Restore(c.ctx, func() (io.Reader, error) {
		_, err := f.Seek(0, io.SeekStart)
		return f, err
	}, force)
	if err != nil {
		return err
	}
	value := struct {
		LastTask  uint64 `json:"last_task"`
		LastEvent uint64 `json:"last_event"`
	}{resp.LastTask, resp.LastEvent}
	out := newResult(c.cmd)
	if err := out.add(value, "restored", fmt.Sprintf("up to task %d and event %d", resp.LastTask, resp.LastEvent)); err != nil {
		return err
	}
	return out.close()
}
