// Package lab measures real grids: it starts the processes of a grid on free ports of the loopback interface, with the
// defaults that a user has, drives load at them, and reads what they use. What it finds are bench.Figures; in which
// order it is done, and what it is compared with, package bench says.
//
// A phase that needs more than the usual grid (a thousand workers, three replicas, a million queued tasks) starts grids
// of its own and ends them, so that no phase pays for another.
package lab
