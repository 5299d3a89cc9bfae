package pep

import (
	"context"
	"fmt"
	"strings"

	"github.com/certstamp/certstamp/internal/plan"
)

// bmcTypes are the parameters of the two cmdlets that change the BMC credential (ROT-1809, ROT-2210).
var bmcTypes = map[string]map[string]string{
	"Set-BmcCredential": {"bmcpassword": typeSecureString, "bmcuser": typeString, "bypassbmcupdate": typeSwitch},
	"Set-BmcPassword":   {"bmcpassword": typeSecureString},
}

// CheckBMC refuses a call that no document describes.
func CheckBMC(call plan.Call) error {
	types, ok := bmcTypes[call.Cmdlet]
	if !ok {
		return &RefusedError{Cmdlet: cut(call.Cmdlet, 128), Why: "it does not change a BMC credential", Todo: "make the plan again"}
	}
	password := false
	for _, p := range call.Parameters {
		name := strings.ToLower(p.Name)
		if want, ok := types[name]; !ok || want != p.Type {
			return &RefusedError{Cmdlet: call.Cmdlet, Why: fmt.Sprintf("-%s of type %q is not a parameter of it", cut(p.Name, 64), cut(p.Type, 64)), Todo: "make the plan again"}
		}
		password = password || name == "bmcpassword"
	}
	if !password {
		return &RefusedError{Cmdlet: call.Cmdlet, Why: "-BmcPassword is missing", Todo: "make the plan again"}
	}
	return nil
}

// SetBMC runs Set-BmcCredential or Set-BmcPassword, whichever the plan names, at most once. Its success output is
// documented nowhere: no error is the only sign.
func (s *Session) SetBMC(ctx context.Context, call plan.Call, secrets Secrets, sink Sink) (Reply, error) {
	if err := CheckBMC(call); err != nil {
		return Reply{}, err
	}
	cmd, err := command(call, secrets)
	if err != nil {
		return Reply{}, err
	}
	return s.invoke(ctx, cmd, true, sink)
}
