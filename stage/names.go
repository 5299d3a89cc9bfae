package stage

import (
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/certstamp/certstamp/internal/plan"
)

// The layout of a share (ROT-2210). The work folder is a sibling of Certificates: a folder can only be renamed within a
// volume, and nothing but the set may lie in Certificates.
const (
	certificates = "Certificates"
	work         = "_certstamp"
	lockFile     = work + "/lock"
	journalFile  = work + "/journal.jsonl"

	stagePrefix    = "stage-"
	undoPrefix     = "undo-"
	previousPrefix = "previous-"
)

// JournalFile is where the journal lies on the share.
const JournalFile = journalFile

var reserved = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i)^(con|prn|aux|nul|com[1-9¹²³]|lpt[1-9¹²³])(\..*)?$`)
})

// CheckName refuses what a Windows server would refuse or change: reserved names and characters, trailing dots and
// spaces, control characters (MS-FSCC, section 2.1.5).
func CheckName(name string) error {
	switch {
	case name == "" || name == "." || name == "..":
		return fmt.Errorf("%w: %s", ErrName, quote(name))
	case !utf8.ValidString(name) || len(name) > 255:
		return fmt.Errorf("%w: %s", ErrName, quote(name))
	case strings.ContainsAny(name, `<>:"/\|?*`) || strings.ContainsFunc(name, func(r rune) bool { return r < 0x20 || r == 0x7f }):
		return fmt.Errorf("%w: %s has a character that is not allowed", ErrName, quote(name))
	case strings.HasSuffix(name, ".") || strings.HasSuffix(name, " "):
		return fmt.Errorf("%w: %s ends in a dot or a space", ErrName, quote(name))
	case reserved().MatchString(name):
		return fmt.Errorf("%w: %s is a device", ErrName, quote(name))
	}
	return nil
}

func checkPath(name string) error {
	for _, part := range strings.Split(name, "/") {
		if err := CheckName(part); err != nil {
			return err
		}
	}
	return nil
}

// live is the folder of the live set: Certificates/AAD.
func live(sec plan.StageSection) string { return path.Join(certificates, sec.Identity) }

// quote shows foreign text, bounded.
func quote(s string) string {
	if r := []rune(s); len(r) > 120 {
		s = string(r[:120]) + "…"
	}
	return strconv.Quote(s)
}

func same(a, b string) bool { return strings.EqualFold(a, b) }
