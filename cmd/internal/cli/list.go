package cli

import "strings"

// listFlag is a flag that may be given again. The library's own makes a writer of CSV for each such flag at every start.
type listFlag struct {
	values *[]string
	given  bool
}

func list(values *[]string) *listFlag { return &listFlag{values: values} }

func (l *listFlag) Set(v string) error {
	if !l.given {
		*l.values, l.given = nil, true
	}
	*l.values = append(*l.values, v)
	return nil
}

func (l *listFlag) Type() string { return "stringArray" }

// String is empty without values, which the library takes for a default that help need not name.
func (l *listFlag) String() string {
	if l.values == nil || len(*l.values) == 0 {
		return ""
	}
	return "[" + strings.Join(*l.values, ",") + "]"
}
