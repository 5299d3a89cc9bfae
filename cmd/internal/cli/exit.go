package cli

import (
	"context"
	"errors"
	"fmt"
)

// The exit codes are a contract; docs/usage.md has the same table.
const (
	exitDone        = 0   // done
	exitRefused     = 1   // findings, or a plan or gate refused
	exitUsage       = 2   // usage or configuration
	exitEnvironment = 3   // the environment failed before anything changed: network, login, share
	exitFailed      = 4   // the rotation failed: plan --kind rerun comes next; after a second failure, support
	exitUnknown     = 5   // outcome unknown or still running: rotate --attach comes next
	exitPartly      = 6   // partly applied: the journal and status say what
	exitBug         = 70  // a bug
	exitInterrupted = 130 // interrupted before anything changed
)

// failure is an error with its exit code and the stable word for JSON.
type failure struct {
	code   int
	reason string
	err    error
	hint   string
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// fail wraps err. The hint of the innermost error that has one is kept when none is given.
func fail(code int, reason string, err error, hint string) *failure {
	if hint == "" {
		hint = hintOf(err)
	}
	return &failure{code: code, reason: reason, err: err, hint: hint}
}

func usagef(hint, format string, args ...any) *failure {
	return fail(exitUsage, "usage", fmt.Errorf(format, args...), hint)
}

func configuration(err error, hint string) *failure {
	return fail(exitUsage, "configuration", err, hint)
}

func refusedf(reason, hint, format string, args ...any) *failure {
	return fail(exitRefused, reason, fmt.Errorf(format, args...), hint)
}

func environment(reason string, err error, hint string) *failure {
	return fail(exitEnvironment, reason, err, hint)
}

// hintOf finds what an error suggests.
func hintOf(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}

// classify gives an error without a code of its own one: told to leave, by a signal or a limit of ours that ctx has, or a
// mistake in what we were told. A time-out of the network is no such limit.
func classify(ctx context.Context, err error) *failure {
	var f *failure
	switch {
	case errors.As(err, &f):
		return f
	case ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)):
		return fail(exitInterrupted, "interrupted", errors.New("interrupted before anything changed"), "run the same command again")
	}
	return fail(exitUsage, "usage", err, "")
}
