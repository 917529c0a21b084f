package workers

import (
	"maps"
	"strings"
	"testing"
	"time"
)

func TestBadSettingsAreRefusedInWords(t *testing.T) {
	many := map[string]string{}
	for _, letter := range strings.Split("abcdefghijklmnopq", "") {
		many[letter] = letter
	}
	for _, test := range []struct {
		want   string // how the error begins
		change func(*Config)
	}{
		{`id: "a b"`, func(c *Config) { c.ID = "a b" }},
		{`id: ""`, func(c *Config) { c.ID = "" }},
		{"capacity: 0", func(c *Config) { c.Capacity = 0 }},
		{"capacity: 10001", func(c *Config) { c.Capacity = 10001 }},
		{"window: -1", func(c *Config) { c.Window = -1 }},
		{"max-payload: 0", func(c *Config) { c.MaxResult = 0 }},
		{"drain-grace: -1s", func(c *Config) { c.DrainGrace = -time.Second }},
		{"labels: 17 pairs", func(c *Config) { c.Labels = many }},
		{`labels: ""="x"`, func(c *Config) { c.Labels = map[string]string{"": "x"} }},
		{`advertise: "host"`, func(c *Config) { c.Advertise = "host" }},
		{`advertise: ":1"`, func(c *Config) { c.Advertise = ":1" }},
	} {
		c := Config{ID: "w", Capacity: 1, MaxResult: 1, Labels: maps.Clone(map[string]string{"zone": "a"})}
		if err := c.Validate(); err != nil {
			t.Fatalf("good settings: %v", err)
		}
		test.change(&c)
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("got %v, want an error that begins with %s", err, test.want)
		}
	}
}
