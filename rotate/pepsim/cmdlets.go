package pepsim

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/certstamp/certstamp/rotate/psrp"
	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

// table is what the endpoint shows, with types from the prose documents and names from the cmdlet reference.
func table() []cmdlet {
	return []cmdlet{
		{name: "Get-AzureStackStampInformation", run: stampInformation},
		{name: "Test-AzureStack", run: testAzureStack, parameters: []parameter{
			{name: "Group", kind: text, from: 1811},
			{name: "Include", kind: textList},
			{name: "Ignore", kind: textList},
			{name: "List", kind: toggle},
			{name: "DetailedResults", kind: toggle},
			{name: "TimeoutSeconds", kind: number},
			{name: "DisableConsoleOutput", kind: toggle},
			{name: "DoNotDeployTenantVm", kind: toggle},
			{name: "ServiceAdminCredentials", kind: credential},
			{name: "BackupSharePath", kind: text},
			{name: "BackupShareCredential", kind: credential},
			{name: "Repair", kind: toggle},
		}},
		{name: "Start-SecretRotation", run: startSecretRotation, parameters: []parameter{
			{name: "PfxFilesPath", kind: text},
			{name: "PathAccessCredential", kind: credential},
			{name: "CertificatePassword", kind: secureString},
			{name: "Internal", kind: toggle, from: 1811},
			{name: "ReRun", kind: toggle},
		}},
		{name: "Get-ActionStatus", run: actionStatus, parameters: []parameter{
			{name: "FunctionName", kind: text},
			{name: "ActionType", kind: text},
		}},
		{name: "Set-BmcPassword", until: 1811, run: setBMC, parameters: []parameter{
			{name: "BmcPassword", kind: secureString, mandatory: true},
		}},
		{name: "Set-BmcCredential", from: 1811, run: setBMC, parameters: []parameter{
			{name: "BmcPassword", kind: secureString, mandatory: true},
			{name: "BmcUser", kind: text},
			{name: "BypassBMCUpdate", kind: toggle, from: 1910},
		}},
		{name: "Close-PrivilegedEndpoint", run: closeEndpoint, parameters: []parameter{
			{name: "TranscriptsPathDestination", kind: text, mandatory: true},
			{name: "Credential", kind: credential, mandatory: true},
		}},
		{name: "Get-AzureStackUpdateStatus", from: 1807, run: updateStatus, parameters: []parameter{{name: "StatusOnly", kind: toggle}}},
		{name: "Get-Command", builtin: true, run: getCommand, parameters: []parameter{{name: "Name", kind: textList}, {name: "Syntax", kind: toggle}}},
		{name: "Get-Help", builtin: true, run: getHelp, parameters: []parameter{{name: "Name", kind: text}}},
	}
}

func bag(typeName string, members ...clixml.Property) *clixml.Object {
	return &clixml.Object{Types: []string{typeName, "System.Object"}, Extended: members}
}

const customObject = "System.Management.Automation.PSCustomObject"

func member(name string, v any) clixml.Property { return clixml.Property{Name: name, Value: v} }

func stampInformation(ctx context.Context, c *call) error {
	s := c.s
	if err := s.think(ctx, 20*time.Second); err != nil {
		return err
	}
	var hosts []any
	for _, h := range s.cfg.ERCS {
		hosts = append(hosts, h)
	}
	domain := s.cfg.Region + "." + s.cfg.FQDN
	return c.write(ctx, psrp.Output{Value: bag(customObject, s.told([]clixml.Property{
		s.toldText("CloudID", s.cfg.CloudID),
		s.toldText("StampVersion", s.cfg.Version),
		s.toldText("RegionName", s.cfg.Region),
		s.toldText("ExternalDomainFQDN", domain),
		s.toldText("DomainFQDN", strings.ToLower(s.cfg.Domain)+".local"),
		s.toldText("DomainNetBIOSName", s.cfg.Domain),
		s.toldText("DeploymentID", s.deployment),
		s.toldText("Timezone", "UTC"),
		member("EmergencyConsoleIPAddresses", &clixml.Object{
			Types: []string{"System.Object[]", "System.Array", "System.Object"}, Container: clixml.List, List: hosts,
		}),
		member("TenantExternalEndpoints", bag(customObject, member("TenantResourceManager", "https://management."+domain+"/"))),
		member("AdminExternalEndpoints", bag(customObject, member("AdminResourceManager", "https://adminmanagement."+domain+"/"))),
		member("RootCACertificates", &clixml.Object{
			Types: []string{"System.Object[]", "System.Array", "System.Object"}, Container: clixml.List,
			List: []any{bag(customObject,
				member("Subject", "CN=SIMULATED AzureStackSelfSignedRootCert"), member("NotAfter", s.started.AddDate(3, 0, 0).UTC()))},
		}),
	})...)})
}

// healthTests are the tests of Test-AzureStack that a group or an include list can name.
var healthTests = []string{
	"AzsAcsSummary", "AzsControlPlane", "AzsDefenderSummary", "AzsExternalCertificates", "AzsHostingInfraSummary",
	"AzsHostingInfraUtilization", "AzsInfraCapacity", "AzsInfraRoleSummary", "AzsPortalAPISummary", "AzsSFRoleSummary",
	"AzsStampBMCSummary", "AzsStorageSvcsSummary", "AzsStoreSummary",
}

var healthGroups = map[string][]string{
	"secretrotationreadiness": {
		"AzsAcsSummary", "AzsDefenderSummary", "AzsHostingInfraSummary", "AzsInfraCapacity", "AzsInfraRoleSummary",
		"AzsPortalAPISummary", "AzsSFRoleSummary", "AzsStoreSummary",
	},
	"updatereadiness": {"AzsInfraRoleSummary", "AzsStampBMCSummary"},
	"default":         healthTests,
}

func testAzureStack(ctx context.Context, c *call) error {
	tests := healthTests
	strict := false
	if g := strings.ToLower(c.text("Group")); g != "" {
		if tests = healthGroups[g]; tests == nil {
			return terminate(psrp.InvalidArgument, "ParameterArgumentValidationError,Test-AzureStack", bindingError, "The group '%s' is not known.", c.text("Group"))
		}
		strict = g == "secretrotationreadiness" && c.s.release >= 1902
	}
	if include := c.list("Include"); len(include) > 0 {
		tests = include
		for _, t := range include {
			if !containsFold(healthTests, t) {
				return terminate(psrp.InvalidArgument, "ParameterArgumentValidationError,Test-AzureStack", bindingError, "The test '%s' is not known.", t)
			}
		}
	}
	healthy := true
	for _, t := range tests {
		if containsFold(c.list("Ignore"), t) {
			continue
		}
		if c.flag("List") {
			if err := c.write(ctx, psrp.Output{Value: t}); err != nil {
				return err
			}
			continue
		}
		if err := c.s.think(ctx, 15*time.Second); err != nil {
			return err
		}
		result := c.s.health(t)
		if result == "FAIL" || strict && result == "WARN" {
			healthy = false
		}
		line := psrp.Information{Text: fmt.Sprintf("[%s] %s", result, t), Source: "Test-AzureStack", Tags: []string{"PSHOST"}, Time: c.s.now()}
		if err := c.write(ctx, line); err != nil {
			return err
		}
		if c.flag("DetailedResults") {
			o := bag(customObject, member("Name", t), member("Result", result))
			if err := c.write(ctx, psrp.Output{Value: o}); err != nil {
				return err
			}
		}
	}
	if c.flag("List") || c.flag("DetailedResults") {
		return nil
	}
	return c.write(ctx, psrp.Output{Value: healthy})
}

func actionStatus(ctx context.Context, c *call) error {
	name := orDefault(c.text("FunctionName"), c.text("ActionType"))
	a := c.s.engine.latest(name)
	if a == nil {
		return c.write(ctx, record(psrp.ObjectNotFound, "NoActionFound", runtimeError, "No action plan was found for '%s'.", name))
	}
	members := []clixml.Property{
		member("FunctionName", a.function), member("ActionPlanInstanceID", a.id), member("CurrentStatus", a.word),
		member("StartTimeUtc", a.started.UTC()), member("ProgressAsXml", a.xml()),
	}
	if !a.ended.IsZero() {
		members = append(members, member("EndTimeUtc", a.ended.UTC()))
	}
	return c.write(ctx, psrp.Output{Value: bag(customObject, members...)})
}

// setBMC changes the credential in the stamp's store and, where the release does that, on the BMCs.
func setBMC(ctx context.Context, c *call) error {
	password, _ := c.args["BmcPassword"].(clixml.SecureString)
	user := c.text("BmcUser")
	const most = 16
	switch {
	case password.Reveal() == "":
		return terminate(psrp.InvalidArgument, "ParameterArgumentValidationErrorEmptyStringNotAllowed,"+c.name, bindingError, "Cannot bind argument to parameter 'BmcPassword' because it is empty.")
	case len(user) > most || c.s.release >= 1910 && len(password.Reveal()) > most:
		return terminate(psrp.InvalidArgument, "InvalidBmcCredential,"+c.name, runtimeError, "The BMC user name and password must not exceed %d characters.", most)
	}
	if err := c.s.think(ctx, time.Minute); err != nil {
		return err
	}
	if text := c.s.cfg.FailBMC; text != "" {
		return terminate(psrp.NotSpecified, "BmcUpdateFailed,"+c.name, runtimeError, "%s", text)
	}
	c.s.setBMC(user, c.s.release >= 1910 && !c.flag("BypassBMCUpdate"))
	return c.write(ctx, psrp.Verbose{Text: "The BMC credential was updated."})
}

func closeEndpoint(_ context.Context, c *call) error {
	cred, _ := c.args["Credential"].(clixml.Credential)
	sh, err := c.s.cfg.OpenShare(c.text("TranscriptsPathDestination"), cred.User, cred.Password.Reveal())
	if err == nil {
		defer closeShare(sh)
		err = c.s.transcripts.ship(sh)
	}
	if err != nil {
		return terminate(psrp.PermissionDenied, "TranscriptsNotMoved,Close-PrivilegedEndpoint", "System.IO.IOException", "%v", err)
	}
	return nil
}

func updateStatus(ctx context.Context, c *call) error {
	if c.flag("StatusOnly") {
		return c.write(ctx, psrp.Output{Value: bag(customObject, member("Value", c.s.cfg.Update))})
	}
	return c.write(ctx, psrp.Output{Value: fmt.Sprintf(`<Action Name="Update" Status="%s"><Steps/></Action>`, c.s.cfg.Update)})
}

func getCommand(ctx context.Context, c *call) error {
	names := c.list("Name")
	if len(names) == 0 {
		for _, d := range c.s.cmdlets {
			names = append(names, d.name)
		}
	}
	for _, name := range names {
		d := c.s.find(name)
		if d == nil {
			if !c.has("Name") {
				continue
			}
			e := record(psrp.ObjectNotFound, "CommandNotFoundException,Microsoft.PowerShell.Commands.GetCommandCommand", commandNotFound,
				"The term '%s' is not recognized as the name of a cmdlet, function, script file, or operable program.", name)
			if err := c.write(ctx, e); err != nil {
				return err
			}
			continue
		}
		var v any = bag("System.Management.Automation.FunctionInfo", member("CommandType", "Function"), member("Name", d.name))
		if c.flag("Syntax") {
			v = c.s.syntax(d)
		}
		if err := c.write(ctx, psrp.Output{Value: v}); err != nil {
			return err
		}
	}
	return nil
}

// syntax is what Get-Command -Syntax prints. The proxies of the endpoint take objects.
func (s *Server) syntax(d *cmdlet) string {
	var b strings.Builder
	b.WriteString("\r\n" + d.name)
	for _, p := range s.parametersOf(d) {
		switch {
		case p.unnamed:
			b.WriteString(" <Object>")
		case p.kind == toggle:
			fmt.Fprintf(&b, " [-%s]", p.name)
		case p.mandatory:
			fmt.Fprintf(&b, " [-%s] <Object>", p.name)
		default:
			fmt.Fprintf(&b, " [[-%s] <Object>]", p.name)
		}
	}
	if !d.builtin {
		b.WriteString(" [-AsJob]")
	}
	b.WriteString(" [<CommonParameters>]\r\n")
	return b.String()
}

func getHelp(ctx context.Context, c *call) error {
	d := c.s.find(orDefault(c.text("Name"), "Get-Help"))
	if d == nil {
		return c.write(ctx, record(psrp.ObjectNotFound, "HelpNotFound,Microsoft.PowerShell.Commands.GetHelpCommand", runtimeError, "Get-Help could not find '%s'.", c.text("Name")))
	}
	return c.write(ctx, psrp.Output{Value: "NAME\r\n    " + d.name + "\r\n\r\nSYNTAX" + c.s.syntax(d)})
}
