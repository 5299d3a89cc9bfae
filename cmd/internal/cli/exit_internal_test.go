package cli

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestClassify(t *testing.T) {
	live := t.Context()
	over, cancel := context.WithDeadline(live, time.Unix(0, 0))
	defer cancel()
	left, leave := context.WithCancel(live)
	leave()
	for _, row := range []struct {
		name string
		ctx  context.Context
		err  error
		code int
	}{
		{"a signal", left, fmt.Errorf("look: %w", context.Canceled), exitInterrupted},
		{"the end of --max-duration", over, fmt.Errorf("look: %w", context.DeadlineExceeded), exitInterrupted},
		{"a time-out of the network", live, context.DeadlineExceeded, exitUsage},
		{"a mistake at the same time", over, errors.New("no such file"), exitUsage},
		{"a code of its own", over, environment("network", context.DeadlineExceeded, ""), exitEnvironment},
	} {
		if got := classify(row.ctx, row.err); got.code != row.code {
			t.Errorf("%s: exit %d, want %d", row.name, got.code, row.code)
		}
	}
}
