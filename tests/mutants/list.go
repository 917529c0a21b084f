package main

// mutant is a mistake: what to change, and the tests that should notice.
type mutant struct {
	name  string
	edits []edit
	in    string // the package of the tests
	tests []string
}

// edit replaces a piece of code that stands once in a file.
type edit struct{ file, old, new string }

// list is of the mistakes that published solutions make, and of some that this one could.
var list = []mutant{
	{
		name: "registry amnesia: a heartbeat for a lease that is not known is fine",
		edits: []edit{{"nameservice/registry.go",
			"		return 0, fmt.Errorf(\"%w of worker %s: register again\", ErrUnknownLease, shorten(id))",
			"		return Active, nil"}},
		in: "./nameservice", tests: []string{"TestRestartedNameServiceIsFullAfterTwoHeartbeats", "TestForgottenWorkerMustRegisterAgain"},
	},
	{
		name: "a heartbeat revives only the first type",
		edits: []edit{
			{"nameservice/expiry.go", "		r.setState(e, Unhealthy)\n", "		r.setState(e, Unhealthy)\n		for _, t := range e.Types[1:] {\n			r.leaveType(e, t)\n		}\n"},
		},
		in: "./nameservice", tests: []string{"TestOneHeartbeatRevivesAllTypes"},
	},
	{
		name: "a lookup extends the lease",
		edits: []edit{{"nameservice/registry.go",
			"			found = append(found, e.Worker)\n", "			r.hear(e)\n			found = append(found, e.Worker)\n"}},
		in: "./nameservice", tests: []string{"TestLookupNeverExtendsALease"},
	},
	{
		name: "COMPLETED is overwritten by PROCESSING",
		edits: []edit{
			{"dispatcher/core/machine.go", "t != nil && t.State == Dispatched {\n		m.move(t.State, t.step(Processing", "t != nil && t.State != Processing {\n		m.move(t.State, t.step(Processing"},
			{"dispatcher/core/task.go", "	{Dispatched, Processing, \"handler began\"},\n", "	{Dispatched, Processing, \"handler began\"},\n	{Completed, Processing, \"\"},\n"},
		},
		in: "./dispatcher/core", tests: []string{"TestATerminalTaskIsImmutable"},
	},
	{
		name:  "no fencing: the outcome of an old attempt counts",
		edits: []edit{{"dispatcher/core/machine.go", "if t == nil || t.Attempt != token {", "if t == nil {"}},
		in:    "./dispatcher/core", tests: []string{"TestALateResultOfAnOldAttemptIsDropped"},
	},
	{
		name:  "no fencing at the worker's stream either",
		edits: []edit{{"dispatcher/core/answers.go", "	case f == nil || f.token != token:", "	case f == nil:"}},
		in:    "./tests/virtual", tests: []string{"TestWhateverWorkersAnswerATaskEndsOnce"},
	},
	{
		name:  "a task is requeued without a bound",
		edits: []edit{{"dispatcher/core/machine.go", "	if t.Redeliveries >= MaxRedeliveries {", "	if t.Redeliveries >= MaxRedeliveries && false {"}},
		in:    "./dispatcher/core", tests: []string{"TestATaskThatKillsEveryWorkerFailsInWords"},
	},
	{
		name:  "the dispatch loop sleeps when a worker is not ready",
		edits: []edit{{"dispatcher/link.go", "		case <-l.wake:\n", "		case <-l.wake:\n			time.Sleep(time.Second)\n"}},
		in:    "./tests/virtual", tests: []string{"TestAHungWorkerHoldsUpNoOtherType"},
	},
	{
		name: "a draining worker is still chosen",
		edits: []edit{{"dispatcher/core/worker.go", "w.info.State == WorkerActive && (held",
			"(w.info.State == WorkerActive || w.info.State == WorkerDraining) && (held"}},
		in: "./dispatcher/core", tests: []string{"TestADrainingWorkerFinishesWhatItHas", "TestOnlyConnectedActiveWorkersOfTheTypeGetTasks"},
	},
	{
		name:  "a rejection is taken for a failure",
		edits: []edit{{"dispatcher/core/machine.go", "			m.requeue(t, rec)\n			return\n", "			m.spend(t, rec)\n			return\n"}},
		in:    "./dispatcher/core", tests: []string{"TestARefusalForCapacityCostsNothingHoweverOften"},
	},
	{
		name:  "ids begin from zero after a restart",
		edits: []edit{{"dispatcher/core/snapshot.go", "		fresh.lastID, fresh.events.last = r.uint(), r.uint()", "		_, fresh.events.last = r.uint(), r.uint()"}},
		in:    "./dispatcher/core", tests: []string{"TestARestoredMachineBehavesIdentically"},
	},
	{
		name:  "a falsy result is never ready",
		edits: []edit{{"dispatcher/translate.go", "	if t.State == core.Completed {\n		p.Result", "	if t.Result != \"\" {\n		p.Result"}},
		in:    "./tests/virtual", tests: []string{"TestAnEmptyResultAndZeroAreResults"},
	},
	{
		name:  "load is counted twice",
		edits: []edit{{"dispatcher/core/worker.go", "return len(w.flights) + len(w.ghosts) }", "return 2*len(w.flights) + len(w.ghosts) }"}},
		in:    "./dispatcher/core", tests: []string{"TestTheLeastLoadedWorkerIsChosenAndTurnsBreakTies", "TestTypesThatShareAWorkerTakeTurns"},
	},
	{
		name:  "acknowledged before it is on the disk",
		edits: []edit{{"dispatcher/journal/failstop.go", "		err = write()\n", "		go write()\n"}},
		in:    "./dispatcher/journal", tests: []string{"TestKilledAtAnyWrite", "TestAFailedWriteStopsTheJournal"},
	},
	{
		name:  "events are lost on resume",
		edits: []edit{{"dispatcher/events.go", "d.machine.Events(seq, eventBatch, buf)", "d.machine.Events(seq+1, eventBatch, buf)"}},
		in:    "./tests/virtual", tests: []string{"TestTheEventsCutAndResumedAnywhereAreTheSame"},
	},

	// Ours.
	{
		name:  "whoever has the token may answer",
		edits: []edit{{"dispatcher/core/answers.go", "	case f.worker != w:\n		return nil, OddForeign\n", ""}},
		in:    "./tests/virtual", tests: []string{"TestWhateverWorkersAnswerATaskEndsOnce"},
	},
	{
		name:  "an attempt that was lost with its worker spends one of the task's",
		edits: []edit{{"dispatcher/core/machine.go", "	lost.Attempts--\n", ""}},
		in:    "./dispatcher/core", tests: []string{"TestWhatBecomesOfATaskWhoseAttemptEnds"},
	},
	{
		name:  "a key gives back whatever it was first used for",
		edits: []edit{{"dispatcher/core/machine.go", "			if !same(t.Spec, spec) {", "			if false {"}},
		in:    "./dispatcher/core", tests: []string{"TestTheSameKeyWithTheSameTaskIsTheSameTask"},
	},
	{
		name:  "a full queue takes one more",
		edits: []edit{{"dispatcher/submit.go", "		case live+len(accepted) < d.cfg.MaxLive &&", "		case live+len(accepted) <= d.cfg.MaxLive &&"}},
		in:    "./tests/virtual", tests: []string{"TestAFullQueueRefusesAndNeverDrops"},
	},
	{
		name: "an outcome is acknowledged before it is durable",
		edits: []edit{{"dispatcher/core/answers.go", "	s.answer(f)\n	s.end(f, o.How, o.Text)\n",
			"	s.answer(f)\n	s.send(w, Message{Kind: Acknowledge, Task: o.Task, Token: o.Token})\n	s.end(f, o.How, o.Text)\n"}},
		in: "./dispatcher/core", tests: []string{"TestAnOutcomeIsAcknowledgedWhenItIsDurableAndNotBefore"},
	},
	{
		name:  "a worker runs again what it has an outcome of",
		edits: []edit{{"workers/slots.go", "	case s.held[a.Key] != nil || s.outcomes.has(a.Key):", "	case s.held[a.Key] != nil:"}},
		in:    "./workers", tests: []string{"TestTheSameAttemptRunsOnce", "TestSlotsDoWhatTheModelDoes"},
	},
	{
		name:  "a cancel does not reach the worker",
		edits: []edit{{"dispatcher/core/scheduler.go", "	case aloft: // ended by somebody else: cancelled\n		s.release(f, true)", "	case aloft: // ended by somebody else: cancelled\n		s.release(f, false)"}},
		in:    "./dispatcher/core", tests: []string{"TestACancelledAttemptIsStoppedAndKeepsItsSlotUntilTheWorkerAnswers"},
	},
	{
		name:  "retries come at once",
		edits: []edit{{"dispatcher/core/handover.go", "	return s.cfg.Backoff(max(1, n-1))", "	return 0 * s.cfg.Backoff(max(1, n-1))"}},
		in:    "./dispatcher/core", tests: []string{"TestEachRetryWaitsItsBackoff"},
	},
	{
		name:  "the errors of tasks open the breaker of their worker",
		edits: []edit{{"dispatcher/core/answers.go", "	w := f.worker\n	odd = \"\"\n", "	w := f.worker\n	odd = \"\"\n	s.settle(f, o.How == EndResult)\n"}},
		in:    "./dispatcher/core", tests: []string{"TestErrorsOfTasksDoNotOpenTheBreaker"},
	},
	{
		name:  "a call in doubt is sent again, though twice is not once",
		edits: []edit{{"client/retry.go", "	if failure == Answered || failure == InDoubt && !r.Repeatable {", "	if failure == Answered {"}},
		in:    "./client", tests: []string{"TestWhetherACallIsTriedAgain"},
	},
	{
		name:  "a name service that starts empty proves its workers dead",
		edits: []edit{{"dispatcher/core/view.go", "	if settled {\n		maps.DeleteFunc", "	if true {\n		maps.DeleteFunc"}},
		in:    "./dispatcher/core", tests: []string{"TestANameServiceThatStartsEmptyProvesNothing"},
	},
	{
		name:  "a young name service overrules one that is away",
		edits: []edit{{"dispatcher/core/view.go", "		settled = settled || src.settled\n", "		settled = true\n"}},
		in:    "./dispatcher/core", tests: []string{"TestAYoungNameServiceDoesNotOverruleOneThatIsAway"},
	},
	{
		name:  "what a deposed leader proposed still counts",
		edits: []edit{{"dispatcher/journal/fsm.go", "	if h.session != m.session || h.number != m.next {", "	if false {"}},
		in:    "./dispatcher/journal", tests: []string{"TestOnlyTheNextEntryOfTheNewestSessionCounts"},
	},
	{
		name:  "a watch that resumes is not told who left",
		edits: []edit{{"nameservice/changes.go", "			view.Removed = append(view.Removed, d.id)\n", ""}},
		in:    "./nameservice", tests: []string{"TestBrokenWatchResumesWithWhatItMissed", "TestWatchIsASnapshotAndThenChanges"},
	},
	{
		name:  "the lowest priority goes first",
		edits: []edit{{"dispatcher/core/queue.go", "	for prio := Priorities - 1; prio >= 0; prio-- {", "	for prio := range Priorities {"}},
		in:    "./dispatcher/core", tests: []string{"TestHigherPriorityFirstThenFirstComeFirstServed"},
	},
	{
		name:  "a worker may talk nonsense for ever",
		edits: []edit{{"dispatcher/conduct.go", "	return a.left >= 0\n", "	return true\n"}},
		in:    "./tests/virtual", tests: []string{"TestAWorkerThatTalksNonsenseIsCutOffAndItsTasksGoOn"},
	},
	{
		name:  "a deposed leader answers reads",
		edits: []edit{{"dispatcher/server.go", "	err := s.d.journal.VerifyLeader(ctx)\n", "	var err error\n"}},
		in:    "./tests/virtual", tests: []string{"TestADeposedLeaderDoesNotAnswerFromThePast"},
	},
	{
		name:  "a caller waits for a leader that has fallen silent",
		edits: []edit{{"internal/discovery/search.go", "	if succeeded {\n", "	if false && succeeded {\n"}},
		in:    "./internal/discovery", tests: []string{"TestALeaderThatFellSilentIsLeft"},
	},
	{
		name:  "a removal forgets the disk while its vote still counts",
		edits: []edit{{"dispatcher/journal/membership.go", "	if err := j.raft.Load().RemoveServer(", "	_ = j.post(notice{Forget: id})\n	if err := j.raft.Load().RemoveServer("}},
		in:    "./dispatcher/journal", tests: []string{"TestADiskIsForgottenAfterItsVoteIsTaken"},
	},
}
