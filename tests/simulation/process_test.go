package simulation

import (
	"slices"
	"time"
)

// process is what all processes of the grid have in common: they start, pause, crash and start again, and have clocks
// that are off.
type process struct {
	*world
	*dice
	name string

	starts  int // how often it was started; what an earlier one planned never happens
	alive   bool
	paused  bool
	missed  []func() // what came while it was paused
	streams []*stream

	skew  time.Duration // how far its clock is off
	drift int           // and how much faster it is, in parts per thousand
}

func (w *world) newProcess(name string) *process {
	p := &process{world: w, dice: w.chanceOf(name), name: name}
	p.drift = []int{0, 0, 5, -5, 20, -20}[p.IntN(6)]
	return p
}

// begin starts the process.
func (p *process) begin() {
	p.starts++
	p.alive, p.paused, p.missed = true, false, nil
}

// end ends it, in the middle of whatever it does. Its streams break.
func (p *process) end() {
	p.alive, p.paused, p.missed = false, false, nil
	for _, s := range slices.Clone(p.streams) {
		s.cut("the process ended")
	}
	p.streams = nil
}

// clock is what the process takes the time to be. It never goes back.
func (p *process) clock() time.Time {
	passed := p.now.Sub(start)
	return start.Add(p.skew + passed + passed*time.Duration(p.drift)/1000)
}

// wake does something now, or when the process goes on.
func (p *process) wake(do func()) {
	if p.paused {
		p.missed = append(p.missed, do)
		return
	}
	do()
}

// later lets the process do something, unless it has ended by then.
func (p *process) later(d time.Duration, do func()) { p.laterAt(p.now.Add(max(0, d)), do) }

func (p *process) laterAt(at time.Time, do func()) {
	life := p.starts
	p.at(later(at, p.now), func() {
		if life == p.starts && p.alive {
			p.wake(func() {
				if life == p.starts && p.alive {
					do()
				}
			})
		}
	})
}

// pause stops the process for a while, as SIGSTOP does.
func (p *process) pause(d time.Duration) {
	if !p.alive || p.paused {
		return
	}
	p.say("%s: is paused for %v", p.name, d)
	p.paused = true
	life := p.starts
	p.after(d, func() {
		if life != p.starts || !p.alive {
			return
		}
		p.say("%s: goes on", p.name)
		p.paused = false
		missed := p.missed
		p.missed = nil
		for _, do := range missed {
			if life != p.starts || !p.alive {
				return
			}
			do()
		}
	})
}
