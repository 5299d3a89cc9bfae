package rotate

// Ending is one way in which a rotation can come out.
type Ending struct {
	ID     string
	Result Result
	Means  string
	Next   string // what to do now
}

// Endings is the closed list.
func Endings() []Ending {
	const (
		again   = "run rotate again with the same plan"
		attach  = "run rotate --attach with the same plan, from any machine that reaches the endpoint"
		replan  = "make a new plan"
		rerun   = "fix the cause the stamp names, then plan --kind rerun"
		verify  = "run verify"
		nothing = "nothing was started: correct what the findings name and run rotate again"
	)
	return []Ending{
		{"completed", Success, "the stamp completed an action later than the one before the start, and nothing it said contradicts that", verify},
		{"said-success", Success, "the call ended well with a text that means success, on a stamp whose actions cannot be told apart", verify},
		{"proved-by-leaves", Success, "every endpoint serves its planned certificate, and not every one did before", verify},

		{"already-rotated", Already, "every endpoint serves its planned certificate already", verify},

		{"action-failed", Failed, "the stamp's action failed", rerun},
		{"call-failed", Failed, "the call ended with the stamp's error, and no later action is seen", rerun},
		{"said-failure", Failed, "the call's text ends with a status that is not success", rerun},
		{"failed-again", FailedAgain, "the rerun of a failed rotation failed too", "collect Get-AzureStackLog and open a support case"},

		{"no-proof", Unknown, "nothing runs any more, and nothing proves that the rotation ran", "look at the stamp's action and its endpoints; " + attach + ", or make a new plan once you know"},
		{"no-contact", Unknown, "the stamp could not be asked before the limit", attach},
		{"cut-off", Unknown, "the start was sent, and the login was refused afterwards", "check the endpoint's account, then " + attach},

		{"unanswered", Unknown, "the start was sent, and logins afterwards got no answer: no more are tried, because each may count towards a lockout", "check the endpoint's account, then " + attach},

		{"still-running", Running, "the stamp still rotates after the plan's limit", attach},
		{"detached", Running, "we were told to leave while the stamp was rotating; it goes on", attach},

		{"wrong-stamp", Refused, "the stamp is not the planned one", "correct the target or the plan; nothing was started by this run"},
		{"not-ready", Refused, "a check before the start failed", nothing},
		{"last-failed", Refused, "the stamp's last rotation failed", "plan --kind rerun, or plan with a reason to start afresh"},
		{"not-ours", Refused, "the stamp's last rotation failed, and no journal shows that certstamp started it", "bring the journal of the plan that failed, or plan --kind rerun --adopt REASON"},
		{"nothing-to-rerun", Refused, "the stamp's last rotation did not fail", "plan --kind external"},
		{"another-ran", Refused, "the stamp ran a rotation that this plan did not start", replan},
		{"bad-call", Refused, "the planned call is one that no document describes", replan},

		{"unreachable", Environment, "the endpoint could not be reached, or could not be asked", again},
		{"login-refused", Environment, "the endpoint refused the login", "check user and password first: a second wrong one may lock the account"},
		{"no-secret", Environment, "a secret of the call cannot be had", "provide it under the reference the message names"},
		{"no-journal", Environment, "the journal cannot be written, so nothing may be started", again},
		{"endpoints-unseen", Environment, "what the endpoints serve cannot be read", again},
		{"not-taken", Environment, "the start was not taken by the stamp", again},
		{"cancelled", Environment, "we were told to leave before anything was started", again},
	}
}

func ending(id string) Ending {
	for _, e := range Endings() {
		if e.ID == id {
			return e
		}
	}
	panic("rotate: no ending is called " + id) // our own list and our own words
}
