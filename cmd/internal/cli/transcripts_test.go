package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTranscripts has the endpoint's transcripts moved to a share after a rotation, and again to one that does not take them.
func TestTranscripts(t *testing.T) {
	s := newStand(t, east)
	s.simulate()
	to := s.s.UNC + `\transcripts`
	s.edit("stamp.yaml", func(b string) string {
		return strings.Replace(b, "  user: SIMULATED", "  transcripts: '"+to+"'\n  user: SIMULATED", 1)
	})
	if err := os.Mkdir(filepath.Join(s.s.Share, "transcripts"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.check(s.run(nil, "target", "--stamp", s.name()), 0, "pep.transcripts")
	bound := s.plan("one.json", "--kind", "internal", "--reason", "alert: 7")
	s.check(s.run(nil, append([]string{"rotate"}, bound...)...), 0, "move the endpoint's transcripts", "rotation: success")
	kept := func() int {
		list, err := filepath.Glob(filepath.Join(s.s.Share, "transcripts", "Transcripts_*"))
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	if n := kept(); n != 1 {
		t.Errorf("%d transcripts on the share", n)
	}
	s.check(s.run(nil, append([]string{"rotate"}, bound...)...), 0, "rotation: success")
	if n := kept(); n != 1 {
		t.Errorf("%d transcripts after a second look", n)
	}
	s.check(s.run(map[string]string{"SHARE_PASSWORD": ""}, append([]string{"rotate"}, s.plan("two.json", "--kind", "internal", "--reason", "alert: 7")...)...), 2, "SHARE_PASSWORD")
	if err := os.RemoveAll(filepath.Join(s.s.Share, "transcripts")); err != nil {
		t.Fatal(err)
	}
	s.check(s.run(nil, append([]string{"rotate"}, s.plan("two.json", "--kind", "internal", "--reason", "alert: 7")...)...), 0, "rotation: success", "Transcripts", "not touched by this")
}
