package validate

import (
	"bytes"
	"crypto/x509"
	"slices"
)

var paasRoot = SetRule{
	ID: "paas-root", Name: "PaaS Root", Severity: Caution, Sets: ProviderSets,
	About: "The certificates of a resource provider have the same root as the stamp's own.",
	Check: func(s *Set) []Judgement {
		if !slices.ContainsFunc(s.run.Core, func(c Subject) bool { return coreRoot(c) != nil }) {
			return one(skip("no root of the stamp's own certificates was seen", "judge them too: see certificates in stamp.yaml"))
		}
		roots, folders, first := groupBy(s, func(f *Subject) string { return hexSHA256(f.Chain[len(f.Chain)-1].RawSubjectPublicKeyInfo) })
		if len(roots) == 0 {
			return one(skip("no certificate has a sound chain", "fix Cert Chain first"))
		}
		var out []Judgement
		for _, k := range roots {
			if f := first[k]; !rootOfCore(s.run, f) {
				out = append(out, warn("root "+quote(f.Chain[len(f.Chain)-1].Subject.String())+", which none of the stamp's own certificates has",
					"the root of the stamp's own certificates", "request the provider's certificates from the CA of the others").in(folders[k]...))
			}
		}
		if len(out) == 0 {
			return one(pass(""))
		}
		return out
	},
}

// rootOfCore reports whether the stamp's own set has a certificate under the same root key.
func rootOfCore(r *run, f *Subject) bool {
	top := f.Chain[len(f.Chain)-1]
	return slices.ContainsFunc(r.Core, func(c Subject) bool {
		root := coreRoot(c)
		return root != nil && bytes.Equal(root.RawSubjectPublicKeyInfo, top.RawSubjectPublicKeyInfo)
	})
}

// coreRoot is the self-signed top of a chain, or nil.
func coreRoot(c Subject) *x509.Certificate {
	if c.Leaf == nil || !c.rooted {
		return nil
	}
	return c.Chain[len(c.Chain)-1]
}
