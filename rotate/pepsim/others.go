package pepsim

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/certstamp/certstamp/rotate/psrp"
	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

// others are the cmdlets that no rotation needs: what an operator may run by hand, and what every JEA endpoint shows. Where
// the documents say nothing about what they answer, they say that it is simulated.
func others() []cmdlet {
	return []cmdlet{
		{name: "Get-CloudAdminUserList", run: cloudAdmins},
		{name: "New-CloudAdminUser", run: newAdmin, parameters: []parameter{
			{name: "UserName", kind: text, mandatory: true},
			{name: "Password", kind: secureString, mandatory: true},
		}},
		{name: "Set-CloudAdminUserPassword", run: setAdminPassword, parameters: []parameter{
			{name: "UserName", kind: text, mandatory: true},
			{name: "CurrentPassword", kind: secureString, mandatory: true},
			{name: "NewPassword", kind: secureString, mandatory: true},
		}},
		{name: "Remove-CloudAdminUser", run: removeAdmin, parameters: []parameter{{name: "UserName", kind: text, mandatory: true}}},
		{name: "Get-AzureStackLog", run: collectLogs, parameters: []parameter{
			{name: "OutputSharePath", kind: text},
			{name: "OutputShareCredential", kind: credential},
			{name: "FilterByRole", kind: textList},
			{name: "FromDate", kind: text},
			{name: "ToDate", kind: text},
		}},
		{name: "Set-GraphApplication", run: accepted, parameters: []parameter{
			{name: "ApplicationIdentifier", kind: text},
			{name: "ClientCertificates", kind: anything},
		}},
		{name: "Import-AdminHostingServiceCert", from: 1808, run: accepted, parameters: hostingCertificate},
		{name: "Import-UserHostingServiceCert", from: 1808, run: accepted, parameters: hostingCertificate},
		{name: "Get-FormatData", builtin: true, run: silent, parameters: []parameter{{name: "TypeName", kind: textList}}},
		{name: "Select-Object", builtin: true, run: silent, parameters: []parameter{
			{name: "Property", kind: textList},
			{name: "First", kind: number},
			{name: "Last", kind: number},
			{name: "ExpandProperty", kind: text},
		}},
		{name: "Measure-Object", builtin: true, run: measureNothing, parameters: []parameter{{name: "Property", kind: textList}}},
		{name: "Out-Default", builtin: true, run: silent},
		{name: "Clear-Host", builtin: true, run: silent},
		{name: "Exit-PSSession", builtin: true, run: silent},
	}
}

// hostingCertificate is the PFX and its password. The documents call both cmdlets with two values and no name.
var hostingCertificate = []parameter{
	{name: "PFX", unnamed: true, kind: byteArray, mandatory: true},
	{name: "password", unnamed: true, kind: secureString, mandatory: true},
}

// accepted takes what its parameters take, and does nothing: no document says what it changes or answers.
func accepted(ctx context.Context, c *call) error {
	return c.write(ctx, psrp.Output{Value: Mark + ": " + c.name + " was taken, and changes nothing here"})
}

// silent is a command that has nothing to say when nothing comes through the pipe.
func silent(context.Context, *call) error { return nil }

func measureNothing(ctx context.Context, c *call) error {
	return c.write(ctx, psrp.Output{Value: bag("Microsoft.PowerShell.Commands.GenericMeasureInfo", member("Count", int32(0)))})
}

// logins are the users of now: cmdlets change them.
func (s *Server) logins() []ntlmUser {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.users)
}

// shortName is a user without the domain.
func shortName(user string) string {
	_, name, ok := strings.Cut(user, `\`)
	if !ok {
		return user
	}
	return name
}

// admin finds a user by the short name. The caller holds the server's lock.
func (s *Server) admin(name string) int {
	return slices.IndexFunc(s.users, func(u ntlmUser) bool { return strings.EqualFold(shortName(u.name), name) })
}

func cloudAdmins(ctx context.Context, c *call) error {
	for _, u := range c.s.logins() {
		if err := c.write(ctx, psrp.Output{Value: shortName(u.name)}); err != nil {
			return err
		}
	}
	return nil
}

// changeAdmin has the user that the call names changed under the server's lock, by its place among the users.
func changeAdmin(c *call, change func(i int) error) error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	i := c.s.admin(c.text("UserName"))
	if i < 0 {
		return terminate(psrp.ObjectNotFound, "UserNotFound,"+c.name, runtimeError, "The user '%s' was not found.", c.text("UserName"))
	}
	return change(i)
}

func newAdmin(_ context.Context, c *call) error {
	password, _ := c.args["Password"].(clixml.SecureString)
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.admin(c.text("UserName")) >= 0 {
		return terminate(psrp.InvalidArgument, "UserExists,"+c.name, runtimeError, "The user '%s' exists.", c.text("UserName"))
	}
	s.users = append(s.users, ntlmUser{name: s.cfg.Domain + `\` + c.text("UserName"), password: password.Reveal()})
	return nil
}

func setAdminPassword(_ context.Context, c *call) error {
	current, _ := c.args["CurrentPassword"].(clixml.SecureString)
	next, _ := c.args["NewPassword"].(clixml.SecureString)
	return changeAdmin(c, func(i int) error {
		if c.s.users[i].password != current.Reveal() {
			return terminate(psrp.PermissionDenied, "WrongPassword,"+c.name, runtimeError, "The current password of '%s' is not correct.", c.text("UserName"))
		}
		c.s.users[i].password = next.Reveal()
		return nil
	})
}

func removeAdmin(_ context.Context, c *call) error {
	return changeAdmin(c, func(i int) error {
		if strings.EqualFold(c.s.users[i].name, c.sh.owner) {
			return terminate(psrp.InvalidOperation, "OwnUser,"+c.name, runtimeError, "The user '%s' is logged in.", c.text("UserName"))
		}
		c.s.users = slices.Delete(c.s.users, i, i+1)
		return nil
	})
}

// collectLogs takes its time and leaves one marked file where it was told to.
func collectLogs(ctx context.Context, c *call) error {
	if err := c.s.think(ctx, 20*time.Minute); err != nil {
		return err
	}
	said := fmt.Sprintf("SIMULATED logs of the roles %q, %s to %s", c.list("FilterByRole"), orDefault(c.text("FromDate"), "the start"), orDefault(c.text("ToDate"), "now"))
	if unc := c.text("OutputSharePath"); unc != "" {
		cred, _ := c.args["OutputShareCredential"].(clixml.Credential)
		sh, err := c.s.cfg.OpenShare(unc, cred.User, cred.Password.Reveal())
		if err == nil {
			defer closeShare(sh)
			err = sh.WriteFile("SIMULATED-AzureStackLogs-"+c.s.now().UTC().Format("20060102150405")+".txt", []byte(said+"\r\n"))
		}
		if err != nil {
			return terminate(psrp.PermissionDenied, "LogsNotCopied,"+c.name, "System.IO.IOException", "%v", err)
		}
	}
	return c.write(ctx, psrp.Output{Value: said})
}
