// Package bench holds the rules of measuring: in which order, what is divided by what, and what the figures have to be.
// It measures nothing itself; package drive makes the load, and cmd/taskgrid and bench/peers start the processes.
//
// # The method
//
// A rate on a shared machine swings by a factor of five with what else runs there, so a rate alone says little. Every
// rate is therefore divided by that of a yardstick, measured within the same seconds: a raw grpc-go unary echo, 64 calls
// in flight, one connection, one client process and one server process. A round measures the yardstick, a phase, the
// yardstick, the next phase, and so on; each phase is divided by the mean of the yardstick before and after it. There are
// several rounds, and what is reported is the median over them, of each figure for itself.
//
// Where the disk or other programs are what a phase waits for, even the ratio swings. Beside it stands cpu_ratio: the
// processor time of a call of the yardstick ÷ that of a task, all processes counted. It is what the ratio would be if the
// processors were all that there is to wait for.
//
// What a phase finds is a set of named figures. Rounds adds "echo" and "ratio" to those that have a "rate". Goals are
// bounds of figures by name, so that the table of what is asked for and what was measured draws itself.
package bench
