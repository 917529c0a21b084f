// Package virtual runs the whole grid in one process and in virtual time: the real name service, the real dispatcher on
// its journal, the real worker runtime and the real client library, each on connections in memory, all of them in one
// testing/synctest bubble. Ten seconds of silence pass in an instant, and "within 11 s" is exact on a machine of any
// speed.
//
// A test says what a person would do with real processes:
//
//	synctest.Test(t, func(t *testing.T) {
//		g := virtual.New(t)
//		g.StartNameService()
//		d := g.StartDispatcher()
//		w := g.StartWorker("w1", virtual.Builtin("wait"))
//		id := g.Submit("wait", "20")
//		d.Kill()
//		d = d.Restart()
//		…
//	})
//
// What stands for what:
//
//   - A Host is a process on the Network: its address, its listener and its connections. Unplugging it is what the others
//     see of kill -9, freezing it what they see of SIGSTOP.
//   - A Disk is what a dispatcher has in its data directory. It outlives the dispatcher; a killed one writes nothing more.
//   - A NameTable is a stand-in for the name service, and a Puppet one for a worker. They say what the test tells them to,
//     wrong things included.
//   - History is the event stream as a checker sees it.
//
// Whatever is started is stopped at the end of the test, inside the bubble, and a goroutine that is left over fails it.
package virtual
