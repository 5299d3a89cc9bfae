package validate

var subjectInSAN = Rule{
	ID: "subject-in-san", Name: "Subject In SAN", Severity: Caution, Reads: ReadsCertificates,
	About: "The subject's common name, if there is one, is among the alternative names.",
	Check: func(s *Subject) Judgement {
		cn := s.Leaf.Subject.CommonName
		if cn == "" || s.Endpoint.AnySubject {
			return pass("")
		}
		for _, san := range s.Leaf.DNSNames {
			if foldName(san) == foldName(cn) {
				return pass("")
			}
		}
		return warn("common name "+quote(cn)+" is not among "+quoteOr(s.Leaf.DNSNames, "the alternative names: there are none"),
			"a common name that is one of the alternative names", "request it with the endpoint's name as common name")
	},
}

func quoteOr(list []string, none string) string {
	if len(list) == 0 {
		return none
	}
	return quoteList(list)
}
