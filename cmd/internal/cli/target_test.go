package cli_test

import (
	"strings"
	"testing"
)

// TestUnpinnedTargetIsShown: at a terminal nothing need be pinned; then a person sees where credentials go before one is sent.
func TestUnpinnedTargetIsShown(t *testing.T) {
	t.Parallel()
	s := newStand(t, east) // nobody answers: what is shown is shown before
	s.pack()
	bound := s.plan("plan.json")
	target := s.must(nil, "target", "--stamp", s.name()).doc.Stamps[0].Target.SHA256
	ask := append([]string{"rotate", "--check"}, bound...)
	said := s.run(nil, ask...).stderr
	for _, want := range []string{"no target is pinned", "stamp east, target " + target, `privileged endpoint 127.0.0.1:`, `as SIMULATED\CloudAdmin`, `share \\127.0.0.1`} {
		if strings.Count(said, want) != 1 {
			t.Errorf("not once %q in\n%s", want, said)
		}
	}
	if said := s.run(map[string]string{"CERTSTAMP_TARGET": target}, ask...).stderr; strings.Contains(said, "no target is pinned") {
		t.Errorf("a pinned target is shown:\n%s", said)
	}
	if said := s.run(map[string]string{"CERTSTAMP_TARGET": "$(CERTSTAMP_TARGET)"}, ask...).stderr; !strings.Contains(said, "no target is pinned") {
		t.Errorf("a variable that Azure Pipelines did not know:\n%s", said)
	}
	pep := s.run(nil, "pep", "Get-ActionStatus", "--stamp", s.name()).stderr
	if !strings.Contains(pep, "target "+target) || !strings.Contains(pep, "privileged endpoint 127.0.0.1:") {
		t.Errorf("pep said\n%s", pep)
	}
	if strings.Contains(said, " as \n") || strings.Contains(said, " as  ") {
		t.Errorf("a user without a name:\n%s", said)
	}
	// The plan of an internal rotation names no share; its lock lies there all the same.
	internal := s.run(nil, append([]string{"rotate", "--check"}, s.plan("internal.json", "--kind", "internal", "--reason", "alert: 7")...)...).stderr
	if strings.Count(internal, `  share \\127.0.0.1`) != 1 || !strings.Contains(internal, ", here "+s.s.Share) {
		t.Errorf("the share as it is opened is not shown:\n%s", internal)
	}
	if a := s.run(nil, append([]string{"unstage"}, bound...)...); a.code != 3 || !strings.Contains(a.stderr, "11 cannot be reached") {
		t.Errorf("unstage of a stamp that nobody reaches: exit %d\n%s", a.code, a.stderr)
	}
	for file, says := range map[string]string{"..": "name the file itself", "../none.json": "correct the path"} {
		if a := s.run(nil, append([]string{"status", "--stamp", s.name(), "--plan", file}, s.allow()...)...); a.code != 2 || !strings.Contains(a.stderr, says) {
			t.Errorf("--plan %s: exit %d\n%s", file, a.code, a.stderr)
		}
	}
	bad := append([]string{"rotate", "--journal", "../plan.json/sub/j.jsonl"}, bound...)
	if a := s.run(nil, bad...); a.code != 3 || !strings.Contains(a.stderr, "--journal: ") || !strings.Contains(a.stderr, "plan.json/sub") {
		t.Errorf("a bad journal: exit %d\n%s", a.code, a.stderr)
	}
}
