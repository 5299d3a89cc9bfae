package rotate

import "slices"

// Ending is one way in which a rotation can come out, in the words of the table in docs/operations.md.
type Ending struct {
	ID     string
	Result Result
	Seen   string // on the stamp, on its endpoints, in the journal
	Means  string // what is concluded from it
	Did    string // what this run did, beside looking
	Next   string // what to do now
}

// Endings is the closed list.
func Endings() []Ending {
	const (
		again   = "run rotate again with the same plan"
		attach  = "run rotate --attach with the same plan, from any machine that reaches the endpoint"
		replan  = "make a new plan"
		rerun   = "fix the cause the stamp names, then plan --kind rerun; certstamp support collects what a support case needs, with the ready Get-AzureStackLog"
		verify  = "run verify"
		nothing = "nothing was started: correct what the findings name and run rotate again"

		watched = "sent the start once, or found it in the journal; saw it to its end; looked at endpoints and health once more"
		asked   = "sent the start once, or found it in the journal; asked the stamp until now; left the rotation alone"
		none    = "sent no start"
		before  = "sent no start, wrote nothing"
	)
	return []Ending{
		{"completed", Success, "a later action than the journaled one is Completed, and no other plan was started in between; neither the call nor its text says otherwise", "the stamp completed an action later than the one before the start, and nothing it said contradicts that", watched, verify},
		{"said-success", Success, "the call ended without an error, with a text of success; the stamp's actions have neither instance nor times", "the call ended well with a text that means success, on a stamp whose actions cannot be told apart", watched, verify},
		{"proved-by-leaves", Success, "every endpoint serves its planned certificate in every sample; no action runs or has failed", "every endpoint serves its planned certificate, and not every one did before", watched, verify},

		{"already-done", Already, "the journal shows that an earlier run saw this plan's rotation end well", "this plan's rotation succeeded in an earlier run; what the stamp did since is not this plan's", "sent no start; looked at endpoints and health once more, if the stamp could be asked", verify},
		{"already-rotated", Already, "every endpoint serves its planned certificate before anything was sent, or when the plan was made; the last action has not failed", "every endpoint serves its planned certificate already", none, verify},

		{"action-failed", Failed, "a later action than the journaled one is Failed", "the stamp's action failed", watched, rerun},
		{"call-failed", Failed, "the call ended with an error record, and no later action proves the opposite", "the call ended with the stamp's error, and nothing proves that the rotation succeeded all the same", watched, rerun},
		{"said-failure", Failed, "the call ended without an error, its text names another final status, and nothing proves the opposite", "the call's text ends with a status that is not success", watched, rerun},
		{"contradicted", Failed, "a later action than the journaled one is Completed, the call ended with an error record or a text of another final status, and the endpoints do not prove that it succeeded", "an error is a failure, and an action that completed cannot be rerun", watched, "fix the cause the stamp names, then make a new plan of the same kind with --fresh REASON; certstamp support collects what a support case needs, with the ready Get-AzureStackLog"},
		{"failed-again", FailedAgain, "the rerun ended in one of the four ways above", "the rerun of a failed rotation failed too", watched, "contact support, with certstamp support and Get-AzureStackLog: certstamp starts no third attempt without a reason"},

		{"no-proof", Unknown, "for fifteen polls nothing runs, some endpoint does not serve its planned certificate, and no later action is seen, or one that completed while an endpoint serves a certificate of neither before nor the plan; or every one does, and did when a rerun that nobody started was planned", "nothing runs any more, and nothing proves that the rotation ran", asked, "look at the stamp's action and its endpoints; " + attach + ", or make a new plan once you know"},
		{"no-contact", Unknown, "no host of the endpoint answered when the plan's limit was reached", "the stamp could not be asked before the limit", asked, attach},
		{"cut-off", Unknown, "a login after the start was refused", "the start was sent, and the login was refused afterwards", "sent the start once, or found it in the journal; logged in nowhere after the refusal", "check the endpoint's account, then " + attach},

		{"unanswered", Unknown, "three logins after the start got no answer", "the start was sent, and logins afterwards got no answer: no more are tried, because each may count towards a lockout", "sent the start once, or found it in the journal; logged in nowhere after the third", "check the endpoint's account, then " + attach},

		{"still-running", Running, "the action still runs when the plan's limit is reached", "the stamp still rotates after the plan's limit", asked, attach},
		{"left-unseen", Unknown, "a signal, or the end of --max-duration, after the start and while nothing was seen to run", "we were told to leave before the stamp said how the rotation stands", asked, attach},
		{"detached", Running, "a signal, or the end of --max-duration, while a rotation ran", "we were told to leave while the stamp was rotating; it goes on", asked, attach},

		{"wrong-stamp", Refused, "region, domain, version or CloudID that the stamp reports is not the plan's", "the stamp is not the planned one", none, "correct the target or the plan; nothing was started by this run"},
		{"not-ready", Refused, "a failing finding: health, update (asked for once more at the last), syntax, identity, an endpoint's certificate, the window", "a check before the start failed", none, nothing},
		{"last-failed", Refused, "the last action is Failed, and the plan neither reruns it nor says why to start afresh", "the stamp's last rotation failed", none, "plan --kind rerun, or plan with a reason to start afresh"},
		{"not-ours", Refused, "the last action is Failed, and no journal at hand shows its start", "the stamp's last rotation failed, and no journal shows that certstamp started it", none, "bring the journal of the plan that failed, or plan --kind rerun --adopt REASON"},
		{"third-attempt", Refused, "the last action is Failed, and a journal shows that it was a rerun", "the rerun of the stamp's last rotation failed too", none, "contact support, with certstamp support and Get-AzureStackLog; on its word plan --kind rerun --adopt REASON"},
		{"nothing-to-rerun", Refused, "the plan reruns, and the last action is not Failed", "the stamp's last rotation did not fail", none, "run verify; what it does not prove needs a new plan of the first kind, with --fresh REASON where a journal shows a failure"},
		{"another-ran", Refused, "an action began since the plan was made, or ran meanwhile, and the endpoints do not serve the planned certificates, for --attach after fifteen polls neither", "the stamp ran a rotation that this plan did not start", none, replan},
		{"bad-call", Refused, "the planned call has another parameter, type or path than the documents", "the planned call is one that no document describes", "logged in nowhere", replan},

		{"unreachable", Environment, "no host of the endpoint could be reached, or a question before the start got no answer", "the endpoint could not be reached, or could not be asked", before, again},
		{"login-refused", Environment, "the first login was refused", "the endpoint refused the login", "sent no start; tried the password nowhere else", "check user and password first: a second wrong one may lock the account"},
		{"no-secret", Environment, "a reference of the call leads to nothing", "a secret of the call cannot be had", "logged in nowhere", "provide it under the reference the message names"},
		{"no-journal", Environment, "the line before the start could not be written, here or on the share, or another run wrote one meanwhile", "the journal does not show this start as the only one, so nothing may be sent", none, again},
		{"endpoints-unseen", Environment, "the endpoints could not be looked at", "what the endpoints serve cannot be read", before, again},
		{"not-taken", Environment, "the connection failed before the first byte of the start, and the journal says so", "the start was not taken by the stamp", "took the start back in the journal", again},
		{"cancelled", Environment, "a signal, or the end of --max-duration, before the start", "we were told to leave before anything was started", before, again},
	}
}

// failure reports whether id, which may come from a journal, is an ending of the stamp's that was bad.
func failure(id string) bool {
	return slices.ContainsFunc(Endings(), func(e Ending) bool { return e.ID == id && (e.Result == Failed || e.Result == FailedAgain) })
}

func ending(id string) Ending {
	for _, e := range Endings() {
		if e.ID == id {
			return e
		}
	}
	panic("rotate: no ending is called " + id) // our own list and our own words
}
