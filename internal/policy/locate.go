package policy

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	cedar "github.com/cedar-policy/cedar-go"
	xast "github.com/cedar-policy/cedar-go/x/exp/ast"
)

// maxProbed bounds how many tokens of one policy are validated again to find the places
// of its mistakes, and maxMistakes how many mistakes are told.
const (
	maxProbed   = 6_000
	maxMistakes = 20
)

// validationMistakes validates one statement against the schema. The validator knows
// what is wrong but not where, so the place is looked for: a statement that ends after
// some condition either still has the mistake or has it no more.
func validationMistakes(policy, text string, tokens []token, p *cedar.Policy, probed *int) []Mistake {
	err := loadModel().validator.Policy("", (*xast.Policy)(p.AST()))
	if err == nil {
		return nil
	}
	l := newLocator(text, tokens, probed)
	var found []Mistake
	// What is wrong with the context is said once for every action.
	said := map[string]bool{}
	for _, e := range flatten(err) {
		readable := readableValidation(e.Error())
		if said[readable] || len(found) == maxMistakes {
			continue
		}
		said[readable] = true
		found = append(found, at(policy, text, l.place(e.Error()), readable))
	}
	// An unknown name in the scope also makes the scope impossible; one message is
	// enough.
	if len(found) > 1 {
		found = slices.DeleteFunc(found, func(m Mistake) bool {
			return m.Text == readableValidation(impossibleScope) && slices.ContainsFunc(found, func(o Mistake) bool {
				return strings.HasPrefix(o.Text, "unrecognized ")
			})
		})
	}
	slices.SortStableFunc(found, func(a, b Mistake) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Text, b.Text))
	})
	return found
}

const impossibleScope = "unable to find an applicable action given the policy scope constraints"

// flatten returns the errors that were joined into one.
func flatten(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, flatten(e)...)
	}
	return all
}

// locator looks for the place of a mistake in one statement.
type locator struct {
	text     string
	tokens   []token // of the statement, with its semicolon
	scopeEnd int     // index of the first token behind the scope
	probed   *int    // tokens that were validated again
}

func newLocator(text string, tokens []token, probed *int) *locator {
	l := &locator{text: text, tokens: tokens, probed: probed}
	depth := 0
	for i, t := range tokens {
		switch t.text {
		case "(":
			depth++
		case ")":
			depth--
			// Annotations have parentheses too; the scope's are the ones after the effect.
			if depth == 0 && l.hasEffect(i) {
				l.scopeEnd = i + 1
				return l
			}
		}
	}
	l.scopeEnd = len(tokens)
	return l
}

func (l *locator) hasEffect(end int) bool {
	return slices.ContainsFunc(l.tokens[:end], func(t token) bool {
		return t.kind == tokenWord && (t.text == "permit" || t.text == "forbid")
	})
}

// place returns the token at which a message is true.
func (l *locator) place(message string) token {
	if l.hasMessage(l.scopeEnd, "", message) {
		return l.named(l.tokens[:l.scopeEnd], message)
	}
	for i := l.scopeEnd; i < len(l.tokens); {
		if t := l.tokens[i]; t.text != "when" && t.text != "unless" || i+1 >= len(l.tokens) {
			break
		}
		end := l.closing(i + 1)
		if l.hasMessage(end+1, "", message) {
			return l.within(i+2, end, message)
		}
		i = end + 1
	}
	return l.named(l.tokens, message)
}

// hasMessage tells whether the statement has the mistake when it ends before token
// number end and the text behind follows.
func (l *locator) hasMessage(end int, behind, message string) bool {
	if *l.probed += end; *l.probed > maxProbed {
		return false
	}
	head := l.text[l.tokens[0].offset:l.tokens[end-1].end()]
	var p cedar.Policy
	if p.UnmarshalCedar([]byte(head+behind+";")) != nil {
		return false
	}
	err := loadModel().validator.Policy("", (*xast.Policy)(p.AST()))
	return err != nil && slices.ContainsFunc(flatten(err), func(e error) bool { return e.Error() == message })
}

// within looks between two tokens: the expression is a chain, and the first part with
// which the chain has the mistake is the one. In front of it nothing changes, so that
// what a `has` proves stays proven.
func (l *locator) within(start, end int, message string) token {
	for {
		parts := l.chain(start, end)
		if len(parts) == 1 {
			if l.tokens[start].text == "(" && l.closing(start) == end-1 {
				start, end = start+1, end-1
				continue
			}
			return l.named(l.tokens[start:end], message)
		}
		narrowed := false
		for _, part := range parts {
			if part[1] > part[0] && l.hasMessage(part[1], l.closers(part[1]), message) {
				start, end, narrowed = part[0], part[1], true
				break
			}
		}
		if !narrowed {
			return l.named(l.tokens[start:end], message)
		}
	}
}

// chain splits the tokens at the loosest of || and && that stands outside of brackets.
func (l *locator) chain(start, end int) [][2]int {
	for _, operator := range [...]string{"||", "&&"} {
		var parts [][2]int
		from, depth := start, 0
		for i := start; i < end; i++ {
			switch l.tokens[i].text {
			case "(", "[", "{":
				depth++
			case ")", "]", "}":
				depth--
			case "if":
				// What follows belongs to the branches, whatever stands between.
				return [][2]int{{start, end}}
			case operator:
				if depth == 0 {
					parts = append(parts, [2]int{from, i})
					from = i + 1
				}
			}
		}
		if parts != nil {
			return append(parts, [2]int{from, end})
		}
	}
	return [][2]int{{start, end}}
}

// closing returns the index of the bracket that closes the one at i.
func (l *locator) closing(i int) int {
	depth := 0
	for j := i; j < len(l.tokens); j++ {
		switch l.tokens[j].text {
		case "(", "[", "{":
			depth++
		case ")", "]", "}":
			if depth--; depth == 0 {
				return j
			}
		}
	}
	return len(l.tokens) - 1
}

// closers returns the brackets that are still open before token number end.
func (l *locator) closers(end int) string {
	var open []byte
	for _, t := range l.tokens[l.scopeEnd:end] {
		switch t.text {
		case "(":
			open = append(open, ')')
		case "[":
			open = append(open, ']')
		case "{":
			open = append(open, '}')
		case ")", "]", "}":
			if len(open) > 0 {
				open = open[:len(open)-1]
			}
		}
	}
	slices.Reverse(open)
	return string(open)
}

// named returns the first token that the message names, or the first one at all.
func (l *locator) named(tokens []token, message string) token {
	_, rest, ok := strings.Cut(message, "`")
	name, _, closed := strings.Cut(rest, "`")
	if ok && closed {
		// Names of types and actions are several tokens; attributes are the last part of
		// their path.
		for i := range tokens {
			if joinedPrefix(tokens[i:], name) {
				return tokens[i]
			}
		}
		path := strings.Split(name, ".")
		for _, t := range tokens {
			if t.text == path[len(path)-1] || t.text == `"`+path[len(path)-1]+`"` {
				return t
			}
		}
	}
	for _, t := range tokens {
		if t.kind != tokenEnd {
			return t
		}
	}
	return l.tokens[0]
}

// joinedPrefix tells whether tokens, written without spaces, begin with a name.
func joinedPrefix(tokens []token, name string) bool {
	for _, t := range tokens {
		if name == "" {
			return true
		}
		rest, ok := strings.CutPrefix(name, t.text)
		if !ok || t.text == "" {
			return false
		}
		name = rest
	}
	return name == ""
}

// readableValidation adds to the validator's words what a person needs.
func readableValidation(message string) string {
	if before, after, ok := strings.Cut(message, " in context for "); ok {
		_, after, _ = strings.Cut(after, " ")
		message = strings.TrimSuffix(before+" in the context "+after, " ")
	}
	switch {
	case message == impossibleScope:
		return "no action is about such a principal and such a resource: the policy would never apply"
	case strings.HasPrefix(message, "unable to guarantee safety of access to optional attribute"):
		return message + "; ask for it with `has` first"
	}
	_, rest, ok := strings.Cut(message, "`")
	name, _, closed := strings.Cut(rest, "`")
	if ok && closed && (strings.HasPrefix(message, "unrecognized ") || strings.HasSuffix(message, " not found")) {
		if near := suggestion(name); near != "" {
			return message + "; did you mean `" + near + "`?"
		}
	}
	return message
}

// suggestion returns the word of the schema that is most like a name, "" when none is.
func suggestion(name string) string {
	best, bestDistance := "", 0
	for _, word := range loadModel().names {
		if bare, ok := strings.CutPrefix(word, namespace); ok && bare == name {
			return word
		}
		if d := editDistance(name, word); d <= max(1, len(name)/4) && (best == "" || d < bestDistance) {
			best, bestDistance = word, d
		}
	}
	return best
}

// editDistance counts the letters to add, drop or change between two words.
func editDistance(a, b string) int {
	if len(a) > 128 || len(b) > 128 {
		return max(len(a), len(b))
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// errTooLong is a policy whose text is over the bound.
var errTooLong = errors.New("the text is longer than 64 KiB")
