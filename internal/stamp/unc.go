package stamp

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// reservedEnds are the folders certstamp puts below the share root itself. The stamp wants the path to end in
// Certificates and nothing behind it (ROT-2210); people write one of these too many.
var reservedEnds = []string{"certificates", "aad", "adfs", "ad fs"}

// parseUNC checks the share root and returns it without a trailing backslash. suggestion is a corrected spelling when
// there is a likely one.
func parseUNC(s string) (unc, suggestion string, err error) {
	if s == "" {
		return "", "", errors.New("the share is empty")
	}
	form := `a share is written \\host\share`
	text := s
	if strings.ContainsAny(s, "/") {
		text = strings.ReplaceAll(strings.TrimPrefix(strings.TrimPrefix(s, "smb:"), "file:"), "/", `\`)
	}
	parts := strings.Split(strings.Trim(text, `\`), `\`)
	ends := false
	for len(parts) > 2 && slices.Contains(reservedEnds, strings.ToLower(parts[len(parts)-1])) {
		parts, ends = parts[:len(parts)-1], true
	}
	corrected := `\\` + strings.Join(parts, `\`)
	if err := checkUNCParts(parts); err != nil {
		return "", "", fmt.Errorf("%s: %w", quoted(s), err)
	}
	switch {
	case ends:
		return "", corrected, fmt.Errorf(`%s: the share root is wanted, certstamp adds Certificates\AAD or Certificates\ADFS itself`, quoted(s))
	case strings.TrimSuffix(s, `\`) != corrected:
		return "", corrected, fmt.Errorf("%s: %s", quoted(s), form)
	}
	return corrected, "", nil
}

func checkUNCParts(parts []string) error {
	if len(parts) < 2 {
		return errors.New(`a share is written \\host\share`)
	}
	host := parts[0]
	if host == "?" || host == "." || host == "UNC" {
		return errors.New(`device paths are not used here: write \\host\share`)
	}
	if strings.ContainsAny(host, ":@[]") {
		// Windows reads host@port as WebDAV, which would send the login elsewhere.
		return errors.New("the host of a share has no port and no user")
	}
	if err := checkHost(host); err != nil {
		return err
	}
	for _, p := range parts[1:] {
		switch {
		case p == "" || p == "." || p == "..":
			return errors.New("an empty, . or .. part in the path")
		case p != strings.TrimSpace(p) || strings.HasSuffix(p, "."):
			return fmt.Errorf("%s: Windows drops spaces and dots at the end of a name", quoted(p))
		case strings.ContainsAny(p, `<>:"|?*`) || strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r == 0x7f }):
			return fmt.Errorf("%s holds characters a share name cannot have", quoted(p))
		case strings.EqualFold(p, "IPC$"):
			return errors.New("IPC$ is no share for files")
		case slices.Contains(reservedEnds[:1], strings.ToLower(p)) && len(parts) > 2:
			return errors.New("a folder named Certificates inside the path")
		}
	}
	return nil
}

// UNCHost returns the host of a UNC that Load accepted.
func UNCHost(unc string) string {
	host, _, _ := strings.Cut(strings.TrimPrefix(unc, `\\`), `\`)
	return host
}
