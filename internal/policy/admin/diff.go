package admin

import (
	"fmt"
	"slices"
	"strings"
)

// diffContext is the number of equal lines around what differs.
const diffContext = 3

// maxDiffCells bounds the work of a comparison: texts have a few thousand lines at most,
// of which most are equal at begin and end.
const maxDiffCells = 4 << 20

// line is a line of a diff: ' ' for one of both texts, '-' and '+' for one of the first
// and of the second.
type line struct {
	sign byte
	text string
}

// unifiedDiff compares two texts line by line; empty when they are equal.
func unifiedDiff(oldName, newName, was, is string) string {
	if was == is {
		return ""
	}
	lines := diffLines(splitLines(was), splitLines(is))
	var b strings.Builder
	fmt.Fprintf(&b, "--- %s\n+++ %s\n", oldName, newName)
	for from := 0; from < len(lines); {
		for from < len(lines) && lines[from].sign == ' ' {
			from++
		}
		if from == len(lines) {
			break
		}
		// A hunk ends where more lines are equal than two contexts have.
		to, equal := from, 0
		for i := from; i < len(lines) && equal <= 2*diffContext; i++ {
			if lines[i].sign == ' ' {
				equal++
			} else {
				equal, to = 0, i+1
			}
		}
		writeHunk(&b, lines, max(from-diffContext, 0), min(to+diffContext, len(lines)))
		from = to
	}
	return b.String()
}

func writeHunk(b *strings.Builder, lines []line, from, to int) {
	oldAt, newAt, oldCount, newCount := 1, 1, 0, 0
	for i, l := range lines[:to] {
		inOld, inNew := l.sign != '+', l.sign != '-'
		switch {
		case i < from:
			if inOld {
				oldAt++
			}
			if inNew {
				newAt++
			}
		default:
			if inOld {
				oldCount++
			}
			if inNew {
				newCount++
			}
		}
	}
	// A side without lines is after the line before.
	if oldCount == 0 {
		oldAt--
	}
	if newCount == 0 {
		newAt--
	}
	fmt.Fprintf(b, "@@ -%d,%d +%d,%d @@\n", oldAt, oldCount, newAt, newCount)
	for _, l := range lines[from:to] {
		b.WriteByte(l.sign)
		b.WriteString(l.text)
		if !strings.HasSuffix(l.text, "\n") {
			b.WriteString("\n\\ No newline at end of file\n")
		}
	}
}

func splitLines(s string) []string {
	if s == "" {
		return nil
	}
	lines := strings.SplitAfter(s, "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// diffLines finds the longest common sequence of lines. What is too much to compare is
// replaced as a whole.
func diffLines(was, is []string) []line {
	var head, tail []line
	for len(was) > 0 && len(is) > 0 && was[0] == is[0] {
		head = append(head, line{' ', was[0]})
		was, is = was[1:], is[1:]
	}
	for len(was) > 0 && len(is) > 0 && was[len(was)-1] == is[len(is)-1] {
		tail = append(tail, line{' ', was[len(was)-1]})
		was, is = was[:len(was)-1], is[:len(is)-1]
	}
	middle := head
	if len(was)*len(is) > maxDiffCells {
		for _, text := range was {
			middle = append(middle, line{'-', text})
		}
		for _, text := range is {
			middle = append(middle, line{'+', text})
		}
	} else {
		middle = append(middle, common(was, is)...)
	}
	slices.Reverse(tail)
	return append(middle, tail...)
}

func common(was, is []string) []line {
	// length[i*width+j] is that of the longest common sequence of was[i:] and is[j:].
	width := len(is) + 1
	length := make([]int32, (len(was)+1)*width)
	for i, old := range slices.Backward(was) {
		for j, fresh := range slices.Backward(is) {
			if old == fresh {
				length[i*width+j] = length[(i+1)*width+j+1] + 1
			} else {
				length[i*width+j] = max(length[(i+1)*width+j], length[i*width+j+1])
			}
		}
	}
	var lines []line
	i, j := 0, 0
	for i < len(was) || j < len(is) {
		switch {
		case i < len(was) && j < len(is) && was[i] == is[j]:
			lines = append(lines, line{' ', was[i]})
			i, j = i+1, j+1
		case j == len(is) || i < len(was) && length[(i+1)*width+j] >= length[i*width+j+1]:
			lines = append(lines, line{'-', was[i]})
			i++
		default:
			lines = append(lines, line{'+', is[j]})
			j++
		}
	}
	return lines
}
