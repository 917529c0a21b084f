package main

import (
	"strings"
	"testing"
)

func TestWrongUseIsSaidInWords(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"submit", "TYPE is missing; usage: taskgrid submit TYPE [PAYLOAD|-]"},
		{"submit hash a b", `"b": one argument too many; usage: taskgrid submit TYPE`},
		{"wait", "ID is missing; usage: taskgrid wait ID…"},
		{"get", "ID is missing; usage: taskgrid get ID"},
		{"get 1 2", `"2": one argument too many`},
		{"drain", "WORKER is missing"},
		{"worker", "TYPE[,TYPE…] is missing"},
		{"worker hash sum", `"sum": one argument too many`},
		{"list extra", `"extra": list takes no arguments`},
		{"version x", `"x": version takes no arguments`},
		{"health", "ADDRESS is missing"},
		{"list --limit -3", `limit: "-3": must be a whole number from 0 on`},
		{"up --workers hash=x", `workers: "hash=x": must be name=number`},
		{"list --newer-than 5", `newer-than: "5": must be a duration`},
		{"list --nope", "unknown flag: --nope; 'taskgrid list --help' lists the flags"},
		{"list --state", "state: needs a value"},
		{"submit sum -5,5 --wait", "write -- before it, and flags before that: taskgrid submit sum --wait -- -5,5"},
		{"frobnicate", `unknown command "frobnicate" for "taskgrid"; 'taskgrid help' lists the commands`},
		{"submitt", "submit"},
		{"help frobnicate", `unknown command "frobnicate"; 'taskgrid help' lists the commands`},
		{"help raft lst", `unknown command "raft lst"; 'taskgrid help' lists the commands`},
		{"completion tcsh", `"tcsh": is no shell that is known; these are: bash, fish, powershell, zsh`},
		{"raft add", "ID is missing; usage: taskgrid raft add ID RAFT-ADDRESS"},
		{"raft lst", `"lst": is no verb of taskgrid raft; these are: list, add`},
		{"nameservice --admin-address 0.0.0.0:6060", `admin-address: "0.0.0.0:6060": must be on the loopback interface`},
		{"nameservice --listen here", `listen: "here": must be host:port`},
		{"dispatcher --metrics-address here", `metrics-address: "here": must be host:port`},
		{"monitoring --http 127.0.0.1:99999", `http: "127.0.0.1:99999": must be host:port`},
		{"worker hash --admin-address here", `admin-address: "here": must be host:port`},
		{"worker hash --capacity -1", "capacity: -1: must not be negative"},
	} {
		code, stdout, stderr := command(t, "", strings.Fields(c.args)...)
		if code != exitUsage || stdout != "" || !strings.Contains(stderr, c.want) {
			t.Errorf("taskgrid %s: exit code %d, stdout %q, stderr %q; want %d, nothing, and %q", c.args, code, stdout, stderr, exitUsage, c.want)
		}
	}
}

// TestUpChecksWhatItHandsDownBeforeItStartsAnything gives it settings of its processes that are wrong.
func TestUpChecksWhatItHandsDownBeforeItStartsAnything(t *testing.T) {
	for variable, c := range map[string]struct{ value, want string }{
		"TASKGRID_JOIN_TOKEN":      {"short", "taskgrid: nameservice: join-token: 5 bytes: must be 16 to 1024 bytes"},
		"TASKGRID_ATTEMPT_TIMEOUT": {"5", `taskgrid: environment variable TASKGRID_ATTEMPT_TIMEOUT: attempt-timeout: "5": must be a duration`},
	} {
		t.Run(variable, func(t *testing.T) {
			t.Setenv(variable, c.value)
			code, stdout, stderr := command(t, "", "up", "--ephemeral")
			if code != exitUsage || stdout != "" || !strings.HasPrefix(stderr, c.want) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("up with %s=%s: exit code %d, stdout %q, stderr %q; want %d and one line %q", variable, c.value, code, stdout, stderr, exitUsage, c.want)
			}
		})
	}
}

// TestUpDoesNotStartInPlaintextWhatIsThoughtToBeSecure gives it a certificate that none of its children would use.
func TestUpDoesNotStartInPlaintextWhatIsThoughtToBeSecure(t *testing.T) {
	t.Setenv("TASKGRID_TLS_CERT", "client.crt")
	code, _, stderr := command(t, "", "up", "--ephemeral")
	if want := "TASKGRID_TLS_CERT is set, and up starts a grid without TLS"; code != exitUsage || !strings.Contains(stderr, want) {
		t.Errorf("up with TASKGRID_TLS_CERT: exit code %d, stderr %q; want %d and %q", code, stderr, exitUsage, want)
	}
}
