package bench

import (
	"bytes"
	"fmt"
	"slices"
)

// writeTranslation prints the tables of all pairs of dialects.
func (r *Report) writeTranslation(b *bytes.Buffer) {
	if len(r.Translation) == 0 {
		return
	}
	fmt.Fprintf(b, "\n## %s: every caller with every agent\n\n", loadTranslation)
	fmt.Fprintf(b, "Processor time of the gateway, µs; median of %d rounds of %gs each. In brackets the ratio to the agent of the\n"+
		"caller's own dialect, taken within each round; the bold cells are that control.\n",
		r.Settings.TranslationRounds, r.Settings.TranslationSeconds)
	r.writeCells(b, fmt.Sprintf("Per unary call of 1 KB, %d connections", cellConns),
		func(c TranslationCell) (Stat, Stat) { return c.Call, c.CallRatio })
	r.writeCells(b, fmt.Sprintf("Per event of a stream of %d sent at once, %d connection", streamEvents, cellStreamConns),
		func(c TranslationCell) (Stat, Stat) { return c.Event, c.EventRatio })
}

func (r *Report) writeCells(b *bytes.Buffer, title string, of func(TranslationCell) (value, ratio Stat)) {
	names := dialectNames()
	fmt.Fprintf(b, "\n### %s\n\n", title)
	writeRow(b, append([]string{"caller ↓ agent →"}, names...))
	writeRule(b, len(names)+1)
	var spreads []float64
	for _, caller := range names {
		row := []string{caller}
		for _, agent := range names {
			i := slices.IndexFunc(r.Translation, func(c TranslationCell) bool { return c.Caller == caller && c.Agent == agent })
			value, ratio := of(r.Translation[i])
			spreads = append(spreads, 100*(value.Max-value.Min)/value.Median)
			text := fmt.Sprintf("%s (%.2f×)", number(value.Median), ratio.Median)
			if caller == agent {
				text = "**" + number(value.Median) + "**"
			}
			row = append(row, text)
		}
		writeRow(b, row)
	}
	wide := newStat(spreads)
	fmt.Fprintf(b, "\nBetween its least and its greatest round a cell has %s %% of its median, the worst %s %%.\n",
		number(wide.Median), number(wide.Max))
}
