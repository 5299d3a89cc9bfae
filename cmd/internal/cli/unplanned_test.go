package cli_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/certstamp/certstamp/internal/journal"
)

// TestStatusWithoutPlan is a runner that was never here: all it has is the stamp file, the share and the network.
func TestStatusWithoutPlan(t *testing.T) {
	t.Parallel()
	s := newStand(t, east)
	s.simulate()
	looks := []string{"status", "--stamp", s.name(), "--allow-path", s.s.Share}
	a := s.run(nil, looks...)
	s.check(a, 0, "none here", "no set", "none is journaled", "11 of 11 answer", "the stamp knows of no rotation", "certstamp logs in to no BMC", "next: certstamp validate")
	if e := a.doc.Stamps[0].Endpoints; len(e) != 11 || e[0].Verdict != "served" || e[0].LeafSHA256 == "" || e[0].Before == "" {
		t.Errorf("endpoints: %+v", e)
	}

	work := filepath.Join(s.s.Share, "_certstamp")
	if err := errors.Join(os.MkdirAll(work, 0o700), os.MkdirAll(filepath.Join(s.s.Share, "Certificates", "AAD", "ACSBlob"), 0o700)); err != nil {
		t.Fatal(err)
	}
	first, second := strings.Repeat("1f", 32), strings.Repeat("2e", 32)
	runs := 0
	write := func(plan, room, step, state string, facts map[string]string) {
		t.Helper()
		runs++ // each is another machine's
		j, err := journal.Open(filepath.Join(work, "journal.jsonl"), plan, fmt.Sprintf("run-%d", runs), time.Now)
		if err == nil {
			err = errors.Join(j.Append(room, step, state, facts), j.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	// Whoever can write to the share puts no words into the next command.
	write("x; reboot", "rotate", "start", "starting", nil)
	s.check(s.run(nil, looks...), 0, "line of a plan that is none: \"x; reboot\"", "next: certstamp validate")
	for _, row := range []struct {
		name                    string
		plan, room, step, state string
		facts                   map[string]string
		says                    []string
	}{
		{"staged", first, "stage", "swap", "done", nil, []string{"a set, of which", "stage swap done at ", first, "status --stamp stamps/east --plan PLAN, with plan " + first}},
		{"started", first, "rotate", "start", "starting", nil, []string{"rotate --attach --plan PLAN --plan-sha256 " + first}},
		{"started before another plan was looked at", second, "stage", "check", "done", nil, []string{
			"the last plan that it knows is " + second, "nobody has seen the end of the rotation of plan " + first, "rotate --attach --plan PLAN --plan-sha256 " + first,
		}},
		{"failed", first, "rotate", "end", "failed", map[string]string{"ending": "action-failed"}, []string{"plan --stamp stamps/east --kind rerun"}},
		{"failed again", first, "rotate", "end", "failed-again", map[string]string{"ending": "failed-again"}, []string{"support --plan PLAN, with plan " + first}},
		{"succeeded", first, "rotate", "end", "success", map[string]string{"ending": "completed"}, []string{"verify --plan PLAN --plan-sha256 " + first}},
		{"BMC sent", second, "bmc", "start", "starting", nil, []string{second, "next: certstamp bmc with the same plan"}},
		{"BMC unknown", second, "bmc", "end", "unknown", map[string]string{"ending": "no-proof"}, []string{"next: try the new credential on one BMC"}},
		{"BMC set", second, "bmc", "end", "success", map[string]string{"ending": "set"}, []string{"next: nothing: the stamp has the new BMC credential"}},
	} {
		write(row.plan, row.room, row.step, row.state, row.facts)
		t.Run(row.name, func(t *testing.T) {
			s := &stand{t: t, w: s.w, s: s.s, now: s.now}
			s.check(s.run(nil, looks...), 0, row.says...)
		})
	}

	// What cannot be looked at is said, and the rest is shown all the same.
	if err := os.WriteFile(filepath.Join(s.s.Share, "Certificates", "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(filepath.Join(work, "journal.jsonl")), os.Mkdir(filepath.Join(work, "journal.jsonl"), 0o700)); err != nil {
		t.Fatal(err)
	}
	s.check(s.run(nil, looks...), 3, "unknown: read the journal on the share", "11 of 11 answer", "a set, of which")
	s.check(s.run(map[string]string{"PEP_PASSWORD": ""}, looks...), 3, "not asked: PEP_PASSWORD is not set", "11 of 11 answer")
}
