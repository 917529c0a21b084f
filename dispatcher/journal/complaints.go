package journal

import (
	"log/slog"
	"sync"
)

// complaints says each reason not to talk to another node once, and not with each of raft's attempts.
type complaints struct {
	mu   sync.Mutex
	last map[string]string // by node or address: why it was refused
}

// note takes why somebody was refused, "" when he was not, and logs it when that is new.
func (c *complaints) note(log *slog.Logger, who, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last[who] == why {
		return
	}
	if why == "" {
		delete(c.last, who)
		return
	}
	if c.last == nil || len(c.last) >= maxMembers {
		c.last = map[string]string{}
	}
	c.last[who] = why
	log.Error("another dispatcher was refused", "who", who, "reason", why)
}
