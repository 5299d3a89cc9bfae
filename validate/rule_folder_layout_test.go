package validate

import (
	"slices"
	"strings"
	"testing"

	"github.com/certstamp/certstamp/policies"
)

func TestFolderLayout(t *testing.T) {
	remove := func(prefix string) func([]string) []string {
		return func(l []string) []string {
			return slices.DeleteFunc(l, func(p string) bool { return strings.HasPrefix(p, prefix) })
		}
	}
	add := func(paths ...string) func([]string) []string {
		return func(l []string) []string { return append(l, paths...) }
	}
	move := func(from, to string) func([]string) []string {
		return func(l []string) []string {
			out := slices.Clone(l)
			for i, p := range out {
				if strings.HasPrefix(p, from) {
					out[i] = to + p[len(from):]
				}
			}
			return out
		}
	}
	none := func(l []string) []string { return l }
	for _, row := range []struct {
		claim    string
		id       policies.Identity
		release  string
		optional []string
		change   func([]string) []string
		want     Result
		findings int
		hint     string
	}{
		{"AAD", policies.AAD, "2301", nil, none, OK, 1, ""},
		{"ADFS", policies.ADFS, "2301", nil, none, OK, 1, ""},
		{"with the registry", policies.AAD, "2301", []string{"container-registry"}, none, OK, 1, ""},
		{"directories are listed without a slash", policies.AAD, "2301", nil, func(l []string) []string {
			for i := range l {
				l[i] = strings.TrimSuffix(l[i], "/")
			}
			return l
		}, OK, 1, ""},
		{"files only", policies.AAD, "2301", nil, func(l []string) []string {
			return slices.DeleteFunc(l, func(p string) bool { return strings.HasSuffix(p, "/") })
		}, OK, 1, ""},
		{"sealed, with twins", policies.AAD, "2301", nil, func(l []string) []string {
			for i := range l {
				if strings.HasSuffix(l[i], ".pfx") {
					l = append(l, strings.TrimSuffix(l[i], ".pfx")+".crt")
					l[i] += ".age"
				}
			}
			return l
		}, OK, 1, ""},
		{"another case", policies.AAD, "2301", nil, move("ACSBlob/", "acsblob/"), OK, 1, ""},
		{"dot files and a README", policies.AAD, "2301", nil, add(".gitattributes", "README.md", "ACSBlob/.gitkeep", ".git/"), OK, 1, ""},
		{"no folder", policies.AAD, "2301", nil, remove("ACSBlob/"), Fail, 1, "add ACSBlob/ACSBlob.pfx"},
		{"nothing at all", policies.AAD, "2301", nil, remove(""), Fail, 11, "add "},
		{"empty folder", policies.AAD, "2301", nil, remove("ACSBlob/ACSBlob.pfx"), Fail, 1, "add ACSBlob/ACSBlob.pfx"},
		{"two bundles", policies.AAD, "2301", nil, add("ACSBlob/old.pfx"), Fail, 1, "keep the one"},
		{"a bundle and its sealed form", policies.AAD, "2301", nil, add("ACSBlob/ACSBlob.pfx.age"), Fail, 1, "keep the one"},
		{"another file", policies.AAD, "2301", nil, add("ACSBlob/notes.txt"), Warning, 1, "nothing of this is staged"},
		{"a twin of no bundle", policies.AAD, "2301", nil, add("ACSBlob/other.crt"), Warning, 1, "nothing of this is staged"},
		{"a folder inside", policies.AAD, "2301", nil, add("ACSBlob/old/a.pfx"), Fail, 1, "remove the inner folder"},
		{"a PaaS folder", policies.AAD, "2301", nil, add("AppServices/API/api.pfx"), Fail, 1, "resource-providers"},
		{"an empty PaaS folder", policies.AAD, "2301", nil, add("AppServices/"), Fail, 1, "resource-providers"},
		{"a folder of the other identity", policies.AAD, "2301", nil, add("ADFS/ADFS.pfx"), Fail, 1, "identity is AAD"},
		{"the registry uninvited", policies.AAD, "2301", nil, add("Container Registry/ContainerRegistry.pfx"), Fail, 1, "optional-endpoints"},
		{"the registry too early", policies.AAD, "2102", nil, add("Container Registry/ContainerRegistry.pfx"), Fail, 1, "release 2102"},
		{"the long name", policies.AAD, "2301", nil, move("ARM Public/", "Azure Resource Manager Public/"), Fail, 1, `rename it to "ARM Public"`},
		{"AD FS", policies.ADFS, "2301", nil, move("ADFS/", "AD FS/"), Fail, 1, `rename it to "ADFS"`},
		{"one level too deep", policies.AAD, "2301", nil, move("", "AAD/"), Fail, 1, "move them up"},
		{"two levels too deep", policies.AAD, "2301", nil, move("", "Certificates/AAD/"), Fail, 1, "move them up"},
		{"set of the other identity", policies.AAD, "2301", nil, move("", "ADFS/"), Fail, 1, "correct identity in the stamp file if the stamp is ADFS, or make the set again for AAD"},
		{"set of the other identity, two levels deep", policies.ADFS, "2301", nil, move("", "Certificates/aad/"), Fail, 1, "if the stamp is AAD, or make the set again for ADFS"},
		{"one level too deep, of no identity", policies.ADFS, "2301", nil, move("", "Certificates/"), Fail, 1, "move them up"},
		{"ADFS one level too deep", policies.ADFS, "2301", nil, move("", "ADFS/"), Fail, 1, "move them up"},
		{"two folders of one endpoint", policies.AAD, "2301", nil, add("acsblob/ACSBlob.pfx"), Fail, 1, "keep one"},
		{"a bundle in no folder", policies.AAD, "2301", nil, add("stray.pfx"), Fail, 1, "its endpoint's folder"},
		{"another file in no folder", policies.AAD, "2301", nil, add("notes.txt"), Warning, 1, "nothing of this is staged"},
		{"extension host before 1811, uninvited", policies.AAD, "1809", nil, add("Public Extension Host/x.pfx"), Fail, 1, "optional-endpoints"},
		{"extension host before 1811, asked for", policies.AAD, "1809", []string{"extension-host"}, none, OK, 1, ""},
		{"a resource provider's folder", policies.AAD, "2301", nil, add("AppServices/API/API.pfx"), Fail, 1, "resource-providers names: it belongs to AppServices"},
		{"a resource provider's inner folder", policies.AAD, "2301", nil, add("defaultdomain/x.pfx"), Fail, 1, "it belongs to AppServices"},
		{"a resource provider's own folder", policies.AAD, "2301", nil, add("DBAdapter/x.pfx"), Fail, 1, "it belongs to DBAdapter"},
		{"a hostile name", policies.AAD, "2301", nil, add("a\n::error::/"), Fail, 1, "elsewhere"},
	} {
		t.Run(row.claim, func(t *testing.T) {
			in, _ := goodSet(t, row.release, row.id)
			in.Optional = row.optional
			r := newRun(in)
			var list []string
			for _, e := range r.required {
				list = append(list, e.Folder+"/", e.Folder+"/"+e.Stem()+".pfx")
			}
			r.Listing = row.change(list)
			got := folderLayout.Check(&Set{run: r})
			if len(got) != row.findings {
				t.Errorf("%d findings, want %d: %+v", len(got), row.findings, got)
			}
			for _, j := range got {
				check(t, j, row.want)
				if !strings.Contains(j.Hint, row.hint) {
					t.Errorf("hint %q, want %q in it", j.Hint, row.hint)
				}
			}
		})
	}
}
