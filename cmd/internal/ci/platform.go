package ci

import (
	"fmt"
	"slices"
	"strings"
)

// Platform is the system that runs us.
type Platform string

// The platforms certstamp knows. GitHub includes Gitea, Forgejo and act.
const (
	Plain  Platform = "plain"
	GitHub Platform = "github"
	Azure  Platform = "azure"
	GitLab Platform = "gitlab"
)

// Auto asks the environment.
const Auto = "auto"

// Platforms are the values of --ci.
var Platforms = []string{Auto, string(GitHub), string(Azure), string(GitLab), string(Plain)}

// Detect reads the platform from the environment. Azure comes first: its agents can run inside others.
func Detect(getenv func(string) string) Platform {
	switch {
	case strings.EqualFold(getenv("TF_BUILD"), "true"):
		return Azure
	case getenv("GITLAB_CI") == "true":
		return GitLab
	case getenv("GITHUB_ACTIONS") == "true":
		return GitHub
	}
	return Plain
}

// Choose is what --ci says, or the environment.
func Choose(flag string, getenv func(string) string) (Platform, error) {
	switch {
	case flag == Auto || flag == "":
		return Detect(getenv), nil
	case slices.Contains(Platforms, flag):
		return Platform(flag), nil
	}
	return Plain, fmt.Errorf("--ci %q is not one of %v", flag, Platforms)
}
