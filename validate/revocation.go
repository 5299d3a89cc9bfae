package validate

// CRL is what became of asking whether a certificate is revoked. Somebody else asked, see package crl: here nothing dials.
type CRL struct {
	State  CRLState
	URL    string // the one that the state is about; foreign text
	Detail string // one line; foreign text in it is quoted
}

// CRLState is one verdict.
type CRLState string

// The verdicts. Only one of them is good.
const (
	CRLGood        CRLState = "good"
	CRLRevoked     CRLState = "revoked"
	CRLStale       CRLState = "stale"        // its next update is due
	CRLUnreachable CRLState = "unreachable"  // nothing was got
	CRLMalformed   CRLState = "malformed"    // something was got, and it is no CRL
	CRLWrongIssuer CRLState = "wrong issuer" // a CRL, of another CA
	CRLUnsupported CRLState = "unsupported"  // a CRL that cannot answer: delta, indirect, or of other certificates
)
