package cli

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"sync"
	"text/template"
	"unicode/utf16"

	"github.com/spf13/cobra"

	"github.com/certstamp/certstamp/internal/stamp"
	"github.com/certstamp/certstamp/policies"
)

// starter is the repository that init writes. Names begin without a dot here, because embed and editors treat those as special.
//
//go:embed starter
var starter embed.FS //nolint:gochecknoglobals // embed needs a package variable; nothing writes to it

// starterFiles says where each file goes. The stamp file goes below stamps, under the stamp's name.
var starterFiles = [][2]string{ //nolint:gochecknoglobals // a table
	{"gitattributes", ".gitattributes"},
	{"gitignore", ".gitignore"},
	{"CODEOWNERS", "CODEOWNERS"},
	{"README.md", "README.md"},
	{"azure-pipelines.yml", "azure-pipelines.yml"},
	{"azure-expiry.yml", "azure-expiry.yml"},
	{"workflows/pr.yml", ".github/workflows/pr.yml"},
	{"workflows/deploy.yml", ".github/workflows/deploy.yml"},
	{"workflows/stamp.yml", ".github/workflows/stamp.yml"},
	{"workflows/bmc.yml", ".github/workflows/bmc.yml"},
	{"workflows/dispatch.yml", ".github/workflows/dispatch.yml"},
	{"workflows/expiry.yml", ".github/workflows/expiry.yml"},
}

// actionReference is OWNER/REPO[/FOLDER]@COMMIT. A tag can be moved to other code by whoever owns it; a commit cannot.
var actionReference = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}(/[A-Za-z0-9._-]{1,100})?@[0-9a-f]{40}$`)
})

// newStamp is what the stamp file of a starter repository says.
type newStamp struct {
	Name, Region, FQDN, Identity, Version, CloudID string
	Hosts                                          []string
}

func (a *app) initCommand() *cobra.Command {
	var from, name, identity, action string
	cmd := &cobra.Command{
		Use:   "init",
		Short: "write a starter repository: a stamp, its workflows and who may change them",
		Long: "Writes the files of a repository for GitHub and Azure Pipelines into the working directory, and overwrites nothing. --from reads region,\n" +
			"FQDN, version, CloudID and the addresses of the privileged endpoint out of AzureStackStampInformation.json, as Get-AzureStackStampInformation gives it.",
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			if !actionReference().MatchString(action) {
				return usagef("name the release you trust: --action OWNER/certstamp@COMMIT, with the 40 digits of the commit", "--action %q is no action pinned by commit", action)
			}
			s := newStamp{Name: name, Region: "east", FQDN: "azurestack.contoso.com", Version: "1.2301.2.58", Hosts: []string{"10.0.0.11", "10.0.0.12", "10.0.0.13"}}
			if from != "" {
				b, err := readRegular(a.path(from), maxInformation)
				if err == nil {
					s, err = information(b)
				}
				if err != nil {
					return configuration(fmt.Errorf("%s: %w", from, err), "save it in a session of the privileged endpoint: Get-AzureStackStampInformation | ConvertTo-Json > AzureStackStampInformation.json")
				}
				s.Name = name
			}
			if s.Name == "" {
				s.Name = s.Region
			}
			if !stampName().MatchString(s.Name) {
				return usagef("use lower-case letters, digits and hyphens", "--name %q is no name for a stamp", s.Name)
			}
			if s.Identity = strings.ToUpper(identity); s.Identity != string(policies.AAD) && s.Identity != string(policies.ADFS) {
				return usagef("use --identity AAD or --identity ADFS: the stamp's information does not say", "--identity %q is no identity system", identity)
			}
			return a.begin(s, action)
		},
	}
	f := cmd.Flags()
	f.StringVar(&from, "from", "", "AzureStackStampInformation.json")
	f.StringVar(&name, "name", "", "the stamp's name (default: its region)")
	f.StringVar(&identity, "identity", string(policies.AAD), "AAD or ADFS")
	f.StringVar(&action, "action", "", "the certstamp action for the workflows, OWNER/REPO@COMMIT")
	return cmd
}

// begin writes the files, all or none.
func (a *app) begin(s newStamp, action string) error {
	files, err := starterOf(s, action)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(a.path("."))
	if err != nil {
		return configuration(err, "")
	}
	defer root.Close()
	var there []string
	for _, f := range files {
		if _, err := root.Lstat(f.name); !errors.Is(err, fs.ErrNotExist) {
			there = append(there, f.name)
		}
	}
	if len(there) > 0 {
		return usagef("run it in an empty folder, and take over what you want by hand", "nothing was written, because there is already %s", strings.Join(there, ", "))
	}
	for _, f := range files {
		if err := createIn(root, f.name, f.text, 0o644); err != nil {
			return configuration(fmt.Errorf("write %s: %w", f.name, err), "remove what was written, and run it in an empty folder")
		}
		a.doc.Files = append(a.doc.Files, f.name)
	}
	a.doc.Next = "complete stamps/" + s.Name + "/stamp.yaml where it says CHANGE ME, then certstamp target"
	return nil
}

type starterFile struct {
	name string
	text []byte
}

func starterOf(s newStamp, action string) ([]starterFile, error) {
	fill := strings.NewReplacer("@ACTION@", action, "@STAMP@", s.Name)
	var out []starterFile
	for _, f := range starterFiles {
		b, err := starter.ReadFile("starter/" + f[0])
		if err != nil {
			return nil, fmt.Errorf("embedded starter: %w", err)
		}
		out = append(out, starterFile{f[1], []byte(fill.Replace(string(b)))})
	}
	text, err := template.ParseFS(starter, "starter/stamp.yaml.tmpl")
	if err != nil {
		return nil, fmt.Errorf("embedded starter: %w", err)
	}
	var b bytes.Buffer
	if err := text.Execute(&b, s); err != nil {
		return nil, fmt.Errorf("embedded starter: %w", err)
	}
	return append(out, starterFile{"stamps/" + s.Name + "/" + stamp.FileName, b.Bytes()}, starterFile{stamp.SchemaName, stamp.Schema()}), nil
}

// Bounds of what the stamp says of itself.
const (
	maxInformation = 1 << 20
	maxHosts       = 16
)

var (
	dnsName = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+$`)
	})
	cloudID = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{0,127}$`) })
)

// information reads what Get-AzureStackStampInformation says. Each value becomes a line of YAML, so each has a form that can
// be nothing else there.
func information(b []byte) (newStamp, error) {
	var in struct {
		StampVersion                string
		RegionName                  string
		ExternalDomainFQDN          string
		CloudID                     string
		EmergencyConsoleIPAddresses json.RawMessage
	}
	var s newStamp
	if err := json.Unmarshal(utf8Of(b), &in); err != nil {
		return s, fmt.Errorf("it is not the JSON of a stamp: %w", err)
	}
	s.Region = strings.ToLower(strings.TrimSpace(in.RegionName))
	domain := strings.ToLower(strings.TrimSpace(in.ExternalDomainFQDN))
	if !stampName().MatchString(s.Region) || strings.HasSuffix(s.Region, "-") {
		return s, fmt.Errorf("RegionName is %.80q, which is no region", in.RegionName)
	}
	fqdn, ok := strings.CutPrefix(domain, s.Region+".")
	if !ok || len(fqdn) > 200 || !dnsName().MatchString(fqdn) {
		return s, fmt.Errorf("ExternalDomainFQDN is %.80q, where a name that begins with %q is wanted", in.ExternalDomainFQDN, s.Region+".")
	}
	s.FQDN = fqdn
	if _, err := policies.ParseVersion(in.StampVersion); err != nil {
		return s, fmt.Errorf("StampVersion is %.80q: it does not begin like a build, 1.2301.2.58", in.StampVersion)
	}
	s.Version = in.StampVersion
	if s.CloudID = in.CloudID; s.CloudID != "" && !cloudID().MatchString(s.CloudID) {
		return s, fmt.Errorf("CloudID is %.80q, which is none", in.CloudID)
	}
	var err error
	s.Hosts, err = addresses(in.EmergencyConsoleIPAddresses)
	return s, err
}

// addresses reads a list, or the bare text that PowerShell makes of a list of one.
func addresses(raw json.RawMessage) ([]string, error) {
	var list []string
	if err := json.Unmarshal(raw, &list); err != nil {
		var one string
		if json.Unmarshal(raw, &one) != nil {
			return nil, errors.New("EmergencyConsoleIPAddresses is no list of addresses")
		}
		list = strings.FieldsFunc(one, func(r rune) bool { return r == ',' || r == ' ' })
	}
	if len(list) == 0 || len(list) > maxHosts {
		return nil, fmt.Errorf("EmergencyConsoleIPAddresses has %d addresses, where 1 to %d are wanted", len(list), maxHosts)
	}
	for i, text := range list {
		ip, err := netip.ParseAddr(strings.TrimSpace(text))
		if err != nil || ip.Zone() != "" || ip.IsLoopback() || ip.IsUnspecified() || ip.IsMulticast() {
			return nil, fmt.Errorf("EmergencyConsoleIPAddresses has %.80q, which is no address of a machine", text)
		}
		list[i] = ip.String()
		if ip.Is6() {
			list[i] = "[" + ip.String() + "]"
		}
	}
	return list, nil
}

// utf8Of reads what Windows PowerShell writes with >: UTF-16 with a byte order mark.
func utf8Of(b []byte) []byte {
	if len(b) < 2 || b[0] != 0xff || b[1] != 0xfe {
		return bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	}
	units := make([]uint16, 0, len(b)/2)
	for i := 2; i+1 < len(b); i += 2 {
		units = append(units, uint16(b[i])|uint16(b[i+1])<<8)
	}
	return []byte(string(utf16.Decode(units)))
}
