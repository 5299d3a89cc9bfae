package validate

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/certstamp/certstamp/internal/amount"
	"github.com/certstamp/certstamp/policies"
)

var folderLayout = SetRule{
	ID: "folder-layout", Name: "Folder Layout", Severity: Error,
	About: "Every endpoint of the stamp has its folder with one PFX, and there is no other folder.",
	Check: func(s *Set) []Judgement {
		t := readTree(s.run)
		l := layout{run: s.run, tree: t, byFolder: make(map[string][]string)}
		if s.run.deployment() {
			l.levels()
		} else if !slices.ContainsFunc(s.run.required, func(e policies.Endpoint) bool { return e.Span.Has(s.run.Version) }) {
			l.add(warn(fmt.Sprintf("certificates of %s", s.run.Type), "certificates of what the stamp has",
				fmt.Sprintf("no document names %s at release %d: make sure that it is installed", s.run.Type, s.run.Version.Release())))
		}
		l.folders()
		l.missing()
		l.contents()
		if len(l.out) == 0 {
			return one(pass(amount.Of(len(s.run.required), "folder")))
		}
		return l.out
	},
}

// tree is a listing as folders with what they hold.
type tree struct {
	folders map[string][]string // folder -> paths below it, relative to it; directories end in a slash
	files   []string            // lying in no folder
}

func readTree(r *run) tree {
	list := slices.Clone(r.Listing)
	for _, f := range r.Files {
		list = append(list, f.Path)
	}
	slices.Sort(list)
	list = slices.Compact(list)
	dirs := make(map[string]bool)
	for _, p := range list {
		for d := path.Dir(strings.TrimSuffix(p, "/")); d != "." && d != "/"; d = path.Dir(d) {
			dirs[d] = true
		}
	}
	t := tree{folders: make(map[string][]string)}
	for _, p := range list {
		isDir := strings.HasSuffix(p, "/") || dirs[p]
		p = strings.TrimSuffix(p, "/")
		first, rest, nested := strings.Cut(p, "/")
		switch {
		case nested && isDir:
			t.folders[first] = append(t.folders[first], rest+"/")
		case nested:
			t.folders[first] = append(t.folders[first], rest)
		case isDir || path.Ext(p) == "":
			// An empty folder listed without a slash looks like a file without an extension; no file here has none.
			if _, ok := t.folders[p]; !ok {
				t.folders[p] = nil
			}
		default:
			t.files = append(t.files, p)
		}
	}
	return t
}

// layout collects what is wrong with a tree.
type layout struct {
	run      *run
	tree     tree
	byFolder map[string][]string // endpoint ID -> folders that mean it
	out      []Judgement
	wrapped  bool
}

func (l *layout) add(j Judgement) { l.out = append(l.out, j) }

// names returns the folders of the tree, sorted, without those whose name starts with a dot.
func (l *layout) names() []string {
	var out []string
	for n := range l.tree.folders {
		if !strings.HasPrefix(n, ".") {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out
}

// levels finds a set that lies one or two folders too deep, as on the share: Certificates/AAD/ACSBlob.
func (l *layout) levels() {
	for _, n := range l.names() {
		outer, named := identityNamed(n)
		if !named && !strings.EqualFold(n, "Certificates") {
			continue
		}
		for _, p := range l.tree.folders[n] {
			parts := strings.Split(strings.TrimSuffix(p, "/"), "/")
			inner, of := parts[0], outer
			if id, ok := identityNamed(inner); ok && !named && len(parts) > 1 {
				inner, of = parts[1], id
			}
			if _, ok := endpointOf(l.run, inner); ok && (len(parts) > 1 || strings.HasSuffix(p, "/")) {
				l.add(tooDeep(n, of, l.run.Identity))
				l.wrapped = true
				delete(l.tree.folders, n)
				break
			}
		}
	}
}

// tooDeep says what to do with a set below a folder. One that says it is for the other identity system is not moved up: it would
// be taken for this one's.
func tooDeep(folder string, of, stamp policies.Identity) Judgement {
	if of != "" && of != stamp {
		return fail(fmt.Sprintf("endpoint folders below %s, of a set for %s", quote(folder), of), fmt.Sprintf("a set for %s, the identity of the stamp", stamp),
			fmt.Sprintf("correct identity in the stamp file if the stamp is %s, or make the set again for %s", of, stamp)).in(folder)
	}
	return fail("endpoint folders below "+quote(folder), "the endpoint folders directly in the certificates directory",
		fmt.Sprintf("move them up: stage adds Certificates and %s on the share itself", stamp)).in(folder)
}

// identityNamed finds the identity system that a folder is named after.
func identityNamed(folder string) (policies.Identity, bool) {
	for _, id := range []policies.Identity{policies.AAD, policies.ADFS} {
		if strings.EqualFold(folder, string(id)) {
			return id, true
		}
	}
	return "", false
}

// folders judges each folder's name.
func (l *layout) folders() {
	for _, n := range l.names() {
		e, ok := endpointOf(l.run, n)
		required := slices.ContainsFunc(l.run.required, func(r policies.Endpoint) bool { return r.ID == e.ID })
		switch {
		case !ok:
			l.add(fail("folder "+quote(n), "only the folders of the stamp's endpoints", elsewhere(l.run, n)).in(n))
		case !required:
			l.add(fail(fmt.Sprintf("folder %q", n), "only the folders of the stamp's endpoints", notOfThisStamp(l.run, e)).in(n))
		case !strings.EqualFold(n, e.Folder):
			l.add(fail("folder "+quote(n), fmt.Sprintf("folder %q", e.Folder), fmt.Sprintf("rename it to %q", e.Folder)).in(n))
		}
		if ok {
			l.byFolder[e.ID] = append(l.byFolder[e.ID], n)
		}
	}
	for _, e := range l.run.required {
		if same := l.byFolder[e.ID]; len(same) > 1 {
			l.add(fail("folders "+quoteList(same)+" mean one endpoint", fmt.Sprintf("one folder %q", e.Folder), "keep one of them and remove the others").in(same...))
		}
	}
}

// elsewhere says where a folder that is none of this set's belongs. One of a resource provider among the others is the
// mistake that the readiness checker reports as an invalid folder structure.
func elsewhere(r *run, folder string) string {
	for _, t := range r.Policy.Types() {
		mine := strings.EqualFold(folder, string(t)) || slices.ContainsFunc(r.Policy.TypeCatalogue(t), func(e policies.Endpoint) bool {
			return strings.EqualFold(e.Folder, folder) || slices.ContainsFunc(e.Also, func(x string) bool { return strings.EqualFold(x, folder) })
		})
		switch {
		case !mine || t == r.Type:
		case t == policies.Deployment:
			return "move it into the certificates directory: it belongs to the set that is rotated"
		default:
			return fmt.Sprintf("move it into the directory that resource-providers names: it belongs to %s and is not rotated with the others", t)
		}
	}
	return "move it elsewhere: a folder of another kind makes the whole set invalid"
}

func notOfThisStamp(r *run, e policies.Endpoint) string {
	switch {
	case !slices.Contains(e.Identity, r.Identity):
		return fmt.Sprintf("remove it: the stamp's identity is %s and this folder belongs to %s", r.Identity, e.Identity[0])
	case !e.Span.Has(r.Version):
		return fmt.Sprintf("remove it: release %d does not have this endpoint", r.Version.Release())
	default:
		return fmt.Sprintf("remove it, or list %q in optional-endpoints of the stamp", e.Optional)
	}
}

func (l *layout) missing() {
	if l.wrapped {
		return // said once
	}
	for _, e := range l.run.required {
		if len(l.byFolder[e.ID]) == 0 {
			l.add(fail("no folder", fmt.Sprintf("folder %q with one PFX", e.Folder), fmt.Sprintf("add %s/%s.pfx", e.Dir(), e.Stem())).in(e.Folder))
		}
	}
}

// contents judges what lies in the folders of required endpoints: one PFX, sealed or not, and perhaps its twin.
func (l *layout) contents() {
	for _, e := range l.run.required {
		for _, n := range l.byFolder[e.ID] {
			l.folder(e, n)
		}
	}
	var stray []string
	for _, f := range l.tree.files {
		if isBundle(f) {
			l.add(fail(quote(f)+" lies in no folder", "each PFX in its endpoint's folder", "move it into its endpoint's folder"))
		} else if !strings.HasPrefix(f, ".") && !strings.HasSuffix(strings.ToLower(f), ".md") {
			stray = append(stray, f)
		}
	}
	if len(stray) > 0 {
		l.add(warn(quoteList(stray)+" in no folder", "bundles and their twins only", "nothing of this is staged: move it elsewhere"))
	}
}

func (l *layout) folder(e policies.Endpoint, n string) {
	var bundles, stray, nested []string
	for _, p := range l.tree.folders[n] {
		switch {
		case strings.Contains(p, "/"):
			nested = append(nested, p)
		case isBundle(p):
			bundles = append(bundles, p)
		case strings.HasPrefix(p, "."):
		default:
			stray = append(stray, p)
		}
	}
	stray = slices.DeleteFunc(stray, func(p string) bool {
		return slices.ContainsFunc(bundles, func(b string) bool { return twinOf(b, p) })
	})
	wanted := fmt.Sprintf("one PFX in %q", e.Folder)
	switch {
	case len(bundles) == 0:
		l.add(fail("no PFX", wanted, fmt.Sprintf("add %s/%s.pfx", n, e.Stem())).in(n))
	case len(bundles) > 1:
		l.add(fail(quoteList(bundles), wanted, "keep the one that is to be rotated and remove the others").in(n))
	}
	if len(nested) > 0 {
		l.add(fail("folders inside the folder: "+quoteList(nested), wanted, "move the PFX up and remove the inner folder").in(n))
	}
	if len(stray) > 0 {
		l.add(warn(quoteList(stray), "the PFX and its .crt", "nothing of this is staged: move it elsewhere").in(n))
	}
}

func isBundle(name string) bool {
	name = strings.ToLower(name)
	return strings.HasSuffix(name, ".pfx") || strings.HasSuffix(name, ".pfx.age")
}

// twinOf reports whether p is the public .crt of a bundle.
func twinOf(bundle, p string) bool {
	stem := strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(bundle), ".age"), ".pfx")
	return strings.ToLower(p) == stem+".crt"
}
