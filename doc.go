// Package certstamp is the module's front door; it holds no code. The rooms, in the order data flows:
//
//	internal/stamp   stamp.yaml: what a stamp is, where it is, which secrets it names
//	policies         the domain as data: endpoints, rules, transitions, gates, cmdlets
//	csr              policy read forwards: certificate requests and keys
//	pfx              PFX bytes: read, write, order
//	validate         rules over files and sets
//	internal/live    what endpoints serve now
//	internal/plan    the digest-bound document a reviewer approves
//	stage            publish a set to a share as one transaction
//	rotate           run and watch the rotation at the privileged endpoint
//	  psrp, wsman    PowerShell remoting: protocol core, and the I/O beneath it
//	  pep            the endpoint's cmdlets as Go methods
//	  bmc            the BMC credential
//	  pepsim         a simulated stamp for rehearsals
//	cmd/internal     the command line, reports, CI, the demo
//
// TestRooms holds who may import whom.
package certstamp
