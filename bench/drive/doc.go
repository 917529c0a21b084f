// Package drive makes the load that a benchmark measures: the raw gRPC echo that is the yardstick, and closed loops over
// the ways into the grid. A closed loop has a fixed number of tasks in flight: each one that ends is followed by the next.
//
// Work reports each thing that it finishes to a Lane of its own, which takes no lock. Measure lets the work run in, counts
// for a while, and then has it come to its end, so that nothing is left over to disturb what is measured next.
package drive
