package smb

import (
	"errors"
	"fmt"
	"io/fs"
	"net"

	"github.com/cloudsoda/go-smb2"

	"github.com/certstamp/certstamp/stage"
)

// status is what an NTSTATUS of the server (MS-ERREF, section 2.3.1) means to the person who waits for the stage.
type status struct {
	class stage.Class
	is    error // what the transaction matches by
	says  string
	todo  string
}

const checkAccount = "check share.user and its password; nothing is tried again, so that the account is not locked"

var statuses = map[uint32]status{
	0xc000006d: {stage.ClassAuth, nil, "wrong user name or password", checkAccount + "; write the domain as DOMAIN\\user"},
	0xc000006e: {stage.ClassAuth, nil, "the account is restricted", "ask whoever keeps the server: logon hours, workstations or an empty password"},
	0xc0000071: {stage.ClassAuth, nil, "the password has expired", "give the account a new password, then update the secret"},
	0xc0000072: {stage.ClassAuth, nil, "the account is disabled", "enable the account on the server"},
	0xc0000193: {stage.ClassAuth, nil, "the account has expired", "extend the account on the server"},
	0xc0000224: {stage.ClassAuth, nil, "the password must be changed first", "change the account's password, then update the secret"},
	0xc0000234: {stage.ClassAuth, nil, "the account is locked", "unlock it on the server, and find out who locked it: certstamp tries a password once"},
	0xc0000418: {stage.ClassAuth, nil, "the server refuses NTLM", "allow NTLM for this server: only Kerberos would do there, which a stamp's share access does not use"},
	0xc000015b: {stage.ClassAuth, nil, "the account may not log in over the network", "grant it access to this computer from the network"},
	0xc00000bb: {stage.ClassConfig, nil, "the server does not speak SMB 3.1.1", "turn on SMB 3.1.1 on the server: older dialects can be downgraded on the way"},
	0xc00000cc: {stage.ClassConfig, nil, "there is no such share", "check the share's name in share.unc"},
	0xc0000257: {stage.ClassConfig, nil, "the path leads through DFS", "name the real server and share in share.unc: a stamp's access by DFS is not documented either"},
	0xc0000033: {stage.ClassConfig, stage.ErrName, "the server does not take this name", "use the names of the endpoint folders"},
	0xc000003b: {stage.ClassConfig, stage.ErrName, "the path leads out of the share", "use a path below the share"},
	0xc00000d4: {stage.ClassConfig, nil, "a rename would cross volumes", "use a share that lies on one volume"},
	0xc0000022: {stage.ClassPermission, fs.ErrPermission, "access denied", ""},
	0xc0000061: {stage.ClassPermission, fs.ErrPermission, "a privilege is missing", ""},
	0xc00000a2: {stage.ClassPermission, fs.ErrPermission, "the share is read-only", "make the share writable for this account"},
	0xc0000043: {stage.ClassBusy, stage.ErrBusy, "somebody has it open", ""},
	0xc0000054: {stage.ClassBusy, stage.ErrBusy, "somebody has locked a part of it", ""},
	0xc0000056: {stage.ClassBusy, stage.ErrBusy, "it is deleted but still open elsewhere", ""},
	0xc0000101: {stage.ClassLayout, nil, "the folder is not empty", "look what appeared in it, then run again"},
	0xc000007f: {stage.ClassSpace, stage.ErrSpace, "the disk is full", ""},
	0xc0000044: {stage.ClassSpace, stage.ErrSpace, "the account's quota is used up", "raise the quota: twice the set is needed"},
	0xc0000010: {stage.ClassLayout, nil, "this is a folder, not a file", ""},
	0xc0000017: {stage.ClassTransport, stage.ErrTransport, "the server is short of memory", "run again in a while, and look at the server"},
	0xc000009a: {stage.ClassTransport, stage.ErrTransport, "the server is short of resources", "run again in a while, and look at the server"},
	0xc00000c9: {stage.ClassTransport, stage.ErrTransport, "the server has dropped the share", ""},
	0xc0000203: {stage.ClassTransport, stage.ErrTransport, "the server has dropped the session", ""},
	0xc000035c: {stage.ClassTransport, stage.ErrTransport, "the session has expired", ""},
}

// A fault is one error of the server or the connection, in words.
type fault struct {
	says string
	is   error
	err  error
}

func (f *fault) Error() string { return f.says }

// Unwrap leads to what the transaction matches by, and to the library's own error.
func (f *fault) Unwrap() []error {
	if f.is == nil {
		return []error{f.err}
	}
	return []error{f.is, f.err}
}

// fault gives an error of the library its class, words and hint. Errors that stage knows already stay as they are: that a
// name is there or is not there is an answer, no failure.
func (s *mount) fault(step string, err error) error {
	var (
		own      *stage.Error
		response *smb2.ResponseError
		lost     *smb2.TransportError
		invalid  *smb2.InvalidResponseError
	)
	wrap := func(class stage.Class, is error, says, todo string) error {
		return &stage.Error{Class: class, Step: step, Err: &fault{says: says, is: is, err: err}, Todo: todo}
	}
	switch {
	case s.conn.refused.Load():
		return wrap(stage.ClassConfig, nil, "the server does not encrypt, and nothing of the set is sent in clear",
			"turn on encryption for the share (Set-SmbShare -EncryptData $true), or accept signing alone with share.signing-only: true")
	case errors.As(err, &own):
		return err
	case errors.As(err, &response):
		if known, ok := statuses[response.Code]; ok {
			return wrap(known.class, known.is, fmt.Sprintf("%s (0x%08x)", known.says, response.Code), known.todo)
		}
		return wrap(stage.ClassInternal, nil, fmt.Sprintf("the server answered 0x%08x", response.Code), "look the code up in MS-ERREF, and tell us what it was")
	case errors.As(err, &lost):
		return s.lost(wrap, lost.Err)
	case errors.As(err, &invalid):
		if invalid.Message == "unknown cipher algorithm" {
			return wrap(stage.ClassConfig, nil, "the server allows no cipher of ours: AES-128-GCM or AES-128-CCM",
				"allow AES-128-GCM on the server (Set-SmbServerConfiguration -EncryptionCiphers)")
		}
		return wrap(stage.ClassTransport, stage.ErrTransport, "an answer that is none: "+fmt.Sprintf("%q", invalid.Message), "")
	case errors.Is(err, smb2.ErrRequestNotAccepted):
		return wrap(stage.ClassTransport, stage.ErrTransport, "the server takes no more connections", "run again later")
	case errors.Is(err, fs.ErrPermission):
		return wrap(stage.ClassPermission, fs.ErrPermission, "access denied", "")
	}
	var timeout net.Error
	if errors.As(err, &timeout) {
		return s.lost(wrap, err)
	}
	return err
}

// lost names how a connection ended.
func (s *mount) lost(wrap func(stage.Class, error, string, string) error, cause error) error {
	says := "the connection was lost"
	var timeout net.Error
	switch {
	case errors.As(cause, &timeout) && timeout.Timeout():
		says = "nothing came back in time"
	case cause != nil && cause.Error() == "invalid transport format":
		return wrap(stage.ClassConfig, nil, "whatever listens there does not speak SMB", "check server and port of the share")
	}
	if cause != nil {
		says += fmt.Sprintf(" (%q)", cause.Error())
	}
	return wrap(stage.ClassTransport, stage.ErrTransport, says, "")
}
