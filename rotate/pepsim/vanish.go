package pepsim

import (
	"github.com/certstamp/certstamp/rotate/psrp"
	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

// spoilSession does what an order wants with the shell itself, and returns what the client hears of it. The rotation that a
// vanished cmdlet has started goes on: it is the stamp's.
func (s *Server) spoilSession(sh *shell, r *request, fault string) *soapFault {
	switch fault {
	case faultShellGone:
		s.remove(sh)
		return faultUnknownShell.because("shell %s has vanished, as ordered", sh.id)
	case faultAbort:
		s.remove(sh)
		return faultAborted.because("shell %s has ended under its requests, as ordered", sh.id)
	case faultDisconnect:
		sh.mu.Lock()
		sh.connected = false
		sh.mu.Unlock()
		return faultDisconnected.because("shell %s was disconnected, as ordered", sh.id)
	case faultTerminate:
		id, err := clixml.ParseGUID(r.commandID())
		if err != nil {
			return nil // a request that is about no command
		}
		sh.mu.Lock()
		defer sh.mu.Unlock()
		sh.forget(id)
		return faultTerminated.because("command %s was terminated, as ordered", id)
	case faultBroken:
		if r.Body.Receive == nil {
			return nil
		}
		sh.mu.Lock()
		defer sh.mu.Unlock()
		_ = sh.core.SetPoolState(psrp.PoolBroken, brokenAsOrdered())
		sh.flush()
		for id := range sh.commands {
			sh.forget(id)
		}
		if r.commandID() != "" {
			return faultTerminated.because("the pool of shell %s is broken, as ordered", sh.id)
		}
	}
	return nil
}

// forget closes a command, whatever it does. The caller holds the lock.
func (sh *shell) forget(id psrp.GUID) {
	if c := sh.commands[id]; c != nil && c.stop != nil {
		c.stop()
	}
	delete(sh.commands, id)
	sh.core.Forget(id)
}

func brokenAsOrdered() *psrp.ErrorRecord {
	return &psrp.ErrorRecord{
		Message: "The runspace pool is broken, as ordered.", ID: "RunspaceBroken", Category: psrp.InvalidOperation,
		Exception: "System.Management.Automation.Runspaces.InvalidRunspacePoolStateException",
	}
}
