package validate

var encryptedAtRest = Rule{
	ID: "encrypted-at-rest", Name: "Encrypted At Rest", Severity: Caution, Reads: ReadsPair,
	About: "A bundle that anybody who proposes a change can read is sealed with age: the PFX's own encryption is weak.",
	Check: func(s *Subject) Judgement {
		if s.aged || !s.withoutPassword() {
			return pass("")
		}
		return warn("a bare .pfx in the repository", ".pfx.age", "seal it with certstamp pack: TripleDES-SHA1 is all that protects the key")
	},
}
