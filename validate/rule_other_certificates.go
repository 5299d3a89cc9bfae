package validate

var otherCertificates = Rule{
	ID: "other-certificates", Name: "Other Certificates", Severity: Error, Reads: ReadsCertificates, Sealed: true,
	Needs: []string{"cert-chain", "dns-names"},
	About: "The file holds nothing but the certificate and its chain.",
	Check: func(s *Subject) Judgement {
		if len(s.Strangers) == 0 {
			return pass("")
		}
		var names []string
		for _, c := range s.Strangers {
			names = append(names, c.Subject.String())
		}
		return fail("also "+quoteList(names), "the certificate and its chain, each once",
			"export the certificate alone with all certificates of its path, or run certstamp pack --repair")
	},
}
