package stamp

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

const (
	maxDepth = 8
	maxNodes = 4096
)

// parseTree turns bytes into the one mapping of a document, with positions. What it returns has no anchors, aliases,
// merge keys or tags, and bounded depth and size.
func parseTree(file string, b []byte) (*yaml.Node, Errors) {
	whole := func(format string, args ...any) Errors {
		return Errors{{File: file, Message: fmt.Sprintf(format, args...)}}
	}
	if len(b) > MaxSize {
		return nil, whole("the file has more than %d bytes", MaxSize)
	}
	if !utf8.Valid(b) {
		// UTF-16 is legal YAML, but a reviewer's diff shows it as binary.
		return nil, whole("the file is not UTF-8 text")
	}
	if deep := depthOver(b, 1024); deep {
		return nil, whole("the file nests too deeply")
	}
	var doc yaml.Node
	if err := yaml.Load(b, &doc); err != nil {
		return nil, Errors{syntaxProblem(file, err)}
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		return nil, whole("the file is empty")
	}
	root := doc.Content[0]
	c := treeChecker{file: file}
	c.check(root, 1)
	if len(c.problems) > 0 {
		return nil, c.problems
	}
	if root.Kind != yaml.MappingNode {
		return nil, Errors{{File: file, Line: root.Line, Column: root.Column, Message: "the file must hold keys with values, found " + shape(root)}}
	}
	return root, nil
}

// depthOver is a cheap guard before the parser recurses: more open brackets in a row than any stamp file has.
func depthOver(b []byte, most int) bool {
	depth := 0
	for _, c := range b {
		switch c {
		case '[', '{':
			depth++
		case ']', '}':
			depth = max(depth-1, 0)
		}
		if depth > most {
			return true
		}
	}
	return false
}

func syntaxProblem(file string, err error) Problem {
	p := Problem{File: file, Message: "not valid YAML"}
	var one *yaml.LoadError
	var many *yaml.LoadErrors
	switch {
	case errors.As(err, &many) && len(many.Errors) > 0:
		one = many.Errors[0]
	case errors.As(err, &one):
	default:
		return p
	}
	p.Line, p.Column = one.Mark.Line, one.Mark.Column
	// The parser's words, quoted: they may repeat a name from the file.
	msg := strings.TrimPrefix(one.Message, "yaml: ")
	switch {
	case strings.Contains(msg, "found multiple"):
		p.Message = "the file must hold one document, found several"
	case strings.Contains(msg, "no documents"):
		p.Message = "the file is empty"
	case strings.Contains(msg, "unknown anchor"):
		p.Message = "aliases are not used here: write the value itself"
	default:
		p.Message += ": " + quotedForeign(msg)
	}
	return p
}

// quotedForeign leaves plain prose alone and quotes the rest.
func quotedForeign(s string) string {
	if plain(strings.ReplaceAll(s, " ", "")) && len(s) < 120 {
		return s
	}
	return quoted(s)
}

type treeChecker struct {
	file     string
	nodes    int
	problems Errors
}

func (c *treeChecker) add(n *yaml.Node, format string, args ...any) {
	c.problems = append(c.problems, Problem{File: c.file, Line: n.Line, Column: n.Column, Message: fmt.Sprintf(format, args...)})
}

func (c *treeChecker) check(n *yaml.Node, depth int) {
	c.nodes++
	if c.nodes == maxNodes+1 {
		c.add(n, "more than %d values", maxNodes)
	}
	if c.nodes > maxNodes {
		return
	}
	if depth > maxDepth {
		c.add(n, "nested more than %d levels deep", maxDepth)
		return
	}
	switch {
	case n.Kind == yaml.AliasNode:
		c.add(n, "aliases are not used here: write the value itself")
		return
	case n.Anchor != "":
		c.add(n, "anchors are not used here: write the value where it belongs")
	case n.Tag == "!!merge":
		c.add(n, "merge keys are not used here: write the keys themselves")
	case n.Style&yaml.TaggedStyle != 0:
		c.add(n, "tags are not used here: write the plain value")
	}
	for _, child := range n.Content {
		c.check(child, depth+1)
	}
}

// shape names what a node is, for people. It never repeats the value, which may be a secret.
func shape(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys with values"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.Tag {
	case "!!null":
		return "nothing"
	case "!!bool":
		return "true or false"
	case "!!int", "!!float":
		return "a number"
	case "!!timestamp":
		return "a date"
	}
	return "a text"
}

// normalise makes the bytes of a file the same on every checkout: git may have turned LF into CRLF.
func normalise(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")) }
