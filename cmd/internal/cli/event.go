package cli

import (
	"encoding/json"
	"fmt"
	"strings"
)

// maxEvent bounds the event's payload. GitHub's own are below 25 MB, and most are below 1.
const maxEvent = 32 << 20

// span is what is to be compared: two commits, or everything there is.
type span struct {
	base, head string
	fork       bool   // base is a branch's tip: what counts is where head left it
	landed     bool   // it is on its branch already: nothing that it does can be refused any more
	everything string // why every stamp is taken; then there is no base
	nothing    string // why none is
}

// eventOf reads what happened from the payload that the platform wrote. Its numbers of commits are the only thing taken out
// of it: the rest is somebody else's text.
func eventOf(name string, payload []byte) (span, error) {
	var e struct {
		Before      string `json:"before"`
		After       string `json:"after"`
		Deleted     bool   `json:"deleted"`
		PullRequest *struct {
			Base struct {
				SHA string `json:"sha"`
			} `json:"base"`
			Head struct {
				SHA string `json:"sha"`
			} `json:"head"`
		} `json:"pull_request"`
		MergeGroup *struct {
			Base string `json:"base_sha"`
			Head string `json:"head_sha"`
		} `json:"merge_group"`
	}
	if err := json.Unmarshal(payload, &e); err != nil {
		return span{}, fmt.Errorf("the event's payload is not JSON: %w", err)
	}
	var s span
	switch name {
	case "pull_request":
		if e.PullRequest == nil {
			return span{}, fmt.Errorf("the payload of %q has no pull_request", name)
		}
		s = span{base: e.PullRequest.Base.SHA, head: e.PullRequest.Head.SHA, fork: true}
	case "merge_group":
		if e.MergeGroup == nil {
			return span{}, fmt.Errorf("the payload of %q has no merge_group", name)
		}
		s = span{base: e.MergeGroup.Base, head: e.MergeGroup.Head, fork: true}
	case "push":
		s = span{base: e.Before, head: e.After, landed: true}
		if e.Deleted || zeros(e.After) {
			return span{nothing: "the branch was deleted"}, nil
		}
		if zeros(e.Before) {
			s.base, s.everything = "", "the branch is new"
		}
	default:
		return span{head: "HEAD", everything: fmt.Sprintf("the event %q compares nothing", name)}, nil
	}
	if s.base != "" && !objectName().MatchString(s.base) || !objectName().MatchString(s.head) || s.base == "" && s.everything == "" {
		return span{}, fmt.Errorf("the payload of %q names the commits %.80q and %.80q", name, s.base, s.head)
	}
	return s, nil
}

// zeros reports whether an object's name means that there is none.
func zeros(id string) bool { return objectName().MatchString(id) && strings.Trim(id, "0") == "" }
