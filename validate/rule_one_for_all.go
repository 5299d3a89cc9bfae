package validate

import "fmt"

var oneForAll = SetRule{
	ID: "one-for-all", Name: "One For All", Severity: Caution, Sets: DeploymentSet,
	About: "The endpoints do not all share one certificate with every name in it, which is meant for development only.",
	Check: func(s *Set) []Judgement {
		leaf, folders := sharedByAll(s)
		if leaf == "" {
			return one(pass(""))
		}
		return one(warn(fmt.Sprintf("one certificate in all %d folders", len(folders)), "a certificate for each endpoint",
			"outside of test stamps, request one certificate per endpoint: the documents keep this for development since 2019").in(folders...))
	},
}

// sharedByAll is the hash of the certificate that lies in every folder, and the folders.
func sharedByAll(s *Set) (leaf string, folders []string) {
	for _, f := range s.Subjects {
		if f.Leaf == nil || leaf != "" && f.LeafSHA256() != leaf {
			return "", nil
		}
		leaf = f.LeafSHA256()
		folders = append(folders, f.Folder)
	}
	if len(folders) < 2 {
		return "", nil
	}
	return leaf, folders
}
