package cli

import (
	"fmt"
	"math"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// ago is a moment as seen from now, "5m ago" or "in 3d".
func (p *program) ago(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	// Centuries ahead do not fit a duration, and its least value has no counterpart.
	d := max(p.clock.Now().Sub(t.AsTime()), -math.MaxInt64)
	switch {
	case d <= -time.Second:
		return "in " + rough(-d)
	case d < time.Second:
		return "now"
	}
	return rough(d) + " ago"
}

// when is a moment for tables whose rows are compared, in the user's time zone.
func (p *program) when(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().In(p.location).Format("2006-01-02 15:04:05")
}

// moment is a moment in full.
func (p *program) moment(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().In(p.location).Format("2006-01-02 15:04:05.000 MST") + " (" + p.ago(t) + ")"
}

const day = 24 * time.Hour

// rough is a duration in the one unit that matters.
func rough(d time.Duration) string {
	unit, name := day, "d"
	switch {
	case d < time.Minute:
		unit, name = time.Second, "s"
	case d < time.Hour:
		unit, name = time.Minute, "m"
	case d < 2*day:
		unit, name = time.Hour, "h"
	}
	return fmt.Sprintf("%d%s", d.Round(unit)/unit, name)
}

// took is a duration with three digits that matter.
func took(d *durationpb.Duration) string {
	if d == nil {
		return ""
	}
	t := d.AsDuration()
	switch {
	case t >= 10*time.Second:
		return t.Round(100 * time.Millisecond).String()
	case t >= time.Second:
		return t.Round(10 * time.Millisecond).String()
	case t >= time.Millisecond:
		return t.Round(10 * time.Microsecond).String()
	}
	return t.Round(time.Microsecond).String()
}

// parseAge reads a time in the past: a duration before now ("10m", "7d"), a day or a
// moment.
func (p *program) parseAge(text string) (time.Time, error) {
	if d, err := parseDuration(text); err == nil {
		return p.clock.Now().Add(-d), nil
	}
	return p.parseMoment(text, "a duration such as 10m or 7d")
}

// parseExpiry reads a time in the future in the same forms.
func (p *program) parseExpiry(text string) (time.Time, error) {
	if d, err := parseDuration(text); err == nil {
		return p.clock.Now().Add(d), nil
	}
	return p.parseMoment(text, "a duration such as 12h or 90d")
}

func (p *program) parseMoment(text, or string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, p.location); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is neither %s nor a time such as 2027-01-31 or 2027-01-31T08:00:00Z", text, or)
}

// parseDuration reads a duration of Go, or whole days ("7d").
func parseDuration(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n int
		var rest string
		if c, _ := fmt.Sscanf(days, "%d%s", &n, &rest); c == 1 && n >= 0 && n < 100_000 {
			return time.Duration(n) * day, nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is no duration such as 90s, 12h or 7d", text)
	}
	return d, nil
}

// enumText is the name of an enum value without its prefix, in lower case.
func enumText(name, prefix string) string {
	name = strings.TrimPrefix(name, prefix)
	if name == "UNSPECIFIED" {
		return ""
	}
	return strings.ReplaceAll(strings.ToLower(name), "_", "-")
}
