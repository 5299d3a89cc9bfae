package wsman

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"unicode/utf16"

	"github.com/certstamp/certstamp/internal/secret"
	"github.com/certstamp/certstamp/rotate/psrp"
	"github.com/certstamp/certstamp/rotate/psrp/clixml"
)

func wide(s string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

// latin reads bytes as characters, as a host does that takes UTF-16 for something else.
func latin(b []byte) string {
	var out strings.Builder
	for _, c := range b {
		out.WriteRune(rune(c))
	}
	return out.String()
}

// echoes are ways in which a host could say a secret that it was given.
func echoes(s string) []string {
	out := []string{s, "<" + s + ">", latin(wide("in " + s + " wide"))}
	for _, before := range []string{"", "a", "ab"} {
		out = append(out, base64.StdEncoding.EncodeToString([]byte(before+s+"-after")),
			base64.StdEncoding.EncodeToString(append([]byte(before), wide(s+"-after")...)))
	}
	return out
}

// exposed looks for a secret in every form in a recording and in what its base64 holds.
func exposed(recording []byte, s string) (found bool) {
	texts := [][]byte{recording}
	defer func() {
		found = found || bytes.Contains(bytes.ReplaceAll(bytes.Join(texts, nil), []byte("_x0000_"), nil), []byte(s))
	}()
	for _, blob := range regexp.MustCompile(`[A-Za-z0-9+/]{16,}=*`).FindAll(recording, -1) {
		if b, err := base64.StdEncoding.DecodeString(string(blob)); err == nil {
			texts = append(texts, b)
		}
	}
	forms := [][]byte{[]byte(s), wide(s), []byte(strings.ReplaceAll(s, "&", "&amp;"))}
	for _, b := range forms[:2] {
		for shift := range 3 {
			text := base64.RawStdEncoding.EncodeToString(append(make([]byte, shift), b...))
			forms = append(forms, []byte(text[2*((shift+1)/2)+shift/2:len(text)-2])) // without what the neighbours decide
		}
	}
	for _, text := range texts {
		for _, f := range forms {
			if bytes.Contains(text, f) {
				return true
			}
		}
	}
	return false
}

// TestRecordingHoldsNoSecret has a host repeat every secret in every form, in fragments so small that each is cut, in records,
// errors and faults.
func TestRecordingHoldsNoSecret(t *testing.T) {
	const parameter, credential, other = "Pa&ameter-Secret_x0041_1", "Credential-Secret-ä2", "Of-Another-Room-3"
	synctest.Test(t, func(t *testing.T) {
		p := newPeer(t)
		p.pool.FragmentSize = 64
		p.code = FaultUnknownShell
		p.serve = func(p *peer, r psrp.PipelineRequested) {
			for _, s := range []string{testPassword, parameter, credential, other} {
				for _, text := range echoes(s) {
					p.emit(r.ID, psrp.Output{Value: text})
					p.emit(r.ID, psrp.Warning{Text: "warning: " + text})
				}
			}
			p.emit(r.ID, psrp.Output{Value: clixml.NewSecureString(parameter)})
			p.finish(r.ID, psrp.PipelineFailed, &psrp.ErrorRecord{Message: "not " + parameter, ID: "X"})
		}
		cfg := p.config()
		tape := &kept{}
		cfg.Record, cfg.key, cfg.Hide = tape, nil, []secret.Value{secret.New(other)}
		p.tapes = nil
		s, err := Dial(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		r := s.Invoke(t.Context(), psrp.Command{Name: "Start-SecretRotation", Params: []psrp.Param{
			{Name: "CertificatePassword", Value: clixml.NewSecureString(parameter)},
			{Name: "PathAccessCredential", Value: clixml.Credential{User: "u", Password: clixml.NewSecureString(credential)}},
		}}, Options{AtMostOnce: true})
		heard := 0
		for record := range r.Records() {
			if o, ok := record.(psrp.Output); ok {
				if text, ok := o.Value.(string); ok && strings.Contains(text, credential) {
					heard++
				}
			}
		}
		if _, err := r.Result(); err == nil || heard < 2 {
			t.Fatalf("%v, and %d echoes heard", err, heard)
		}
		_ = s.Close(t.Context())
		public := regexp.MustCompile(`[A-Za-z0-9+/=]{300,}`).Find(p.fed.Bytes())
		if !tape.closed || public == nil || bytes.Contains(tape.Bytes(), public) {
			t.Error("the recording holds the real key exchange, or has not ended")
		}
		for _, x := range []string{testPassword, parameter, credential, other} {
			if exposed(tape.Bytes(), x) {
				t.Errorf("the recording holds %q", x)
			}
		}
		p.wg.Wait()
		replay(t, tape.Bytes())
	})
}

// TestExposedFinds: the search above can fail.
func TestExposedFinds(t *testing.T) {
	const s = "Some-Secret-Text"
	for _, text := range echoes(s) {
		if !exposed([]byte("before "+text+" after"), s) {
			t.Errorf("%q is not found", text)
		}
		if !exposed([]byte(base64.StdEncoding.EncodeToString([]byte(text+text))), s) {
			t.Errorf("%q is not found in base64", text)
		}
	}
}

// TestUnscrubbableIsNotRecorded: a secret that cannot be told from ordinary text ends the recording, never the command.
func TestUnscrubbableIsNotRecorded(t *testing.T) {
	world(t, func(t *testing.T, p *peer) {
		p.serve = countTo(2)
		s := mustDial(t, p)
		r := s.Invoke(t.Context(), psrp.Command{Name: "Set-X", Params: []psrp.Param{{Name: "A", Value: clixml.NewSecureString("abc")}}}, Options{})
		if _, err := r.Result(); err != nil {
			t.Fatal(err)
		}
		if !p.tapes[0].closed || bytes.Contains(p.tapes[0].Bytes(), []byte("Set-X")) {
			t.Error("the recording went on")
		}
		_ = s.Close(t.Context())
	})
	world(t, func(t *testing.T, p *peer) {
		p.serve = countTo(2)
		cfg := p.config()
		cfg.Hide = []secret.Value{secret.New("abc")}
		s, err := Dial(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if got := outputs(s.Invoke(t.Context(), readOnly, Options{})); len(got) != 2 || !p.tapes[0].closed || p.tapes[0].Len() > 0 {
			t.Errorf("%d records, %d bytes recorded", len(got), p.tapes[0].Len())
		}
		p.tapes = nil
		_ = s.Close(t.Context())
	})
}

// TestCutReadsWhatTheClientReads: where the two could differ over what a stream holds, the envelope is withheld.
func TestCutReadsWhatTheClientReads(t *testing.T) {
	for envelope, want := range map[string]string{
		`<a><Stream>QUJD</Stream></a>`: "ABC",
		`<a><Stream> QU
JD </Stream></a>`: "ABC",
		`<a><Stream><![CDATA[QUJD]]></Stream></a>`:         "ABC",
		`<a><Stream/></a>`:                                 "",
		`<a><Stream>QUJD<!-- -->QUJD</Stream></a>`:         "withheld",
		`<a><Stream>QUJD<b/>QUJD</Stream></a>`:             "withheld",
		`<a><Stream>QUJD</a>`:                              "withheld",
		`<?xml version="1.0" encoding="utf-16"?><Stream/>`: "withheld",
	} {
		pieces := cut([]byte(envelope))
		var blobs []byte
		for _, p := range pieces {
			blobs = append(blobs, p.blob...)
		}
		if got := joined(pieces); strings.HasPrefix(got, "<withheld") != (want == "withheld") {
			t.Errorf("%s became %s", envelope, got)
		} else if want != "withheld" && string(blobs) != want {
			t.Errorf("%s holds %q, want %q", envelope, blobs, want)
		}
	}
}

// TestADefectEndsTheRecordingAlone: whatever goes wrong in here, the session goes on.
func TestADefectEndsTheRecordingAlone(t *testing.T) {
	world(t, func(t *testing.T, p *peer) {
		p.serve = countTo(20)
		s := mustDial(t, p)
		s.rec.reels["out"] = nil
		s.rec.scrub = nil // every use of it panics
		if got := outputs(s.Invoke(t.Context(), readOnly, Options{})); len(got) != 20 || !p.tapes[0].closed {
			t.Errorf("%d records", len(got))
		}
		p.tapes = nil
		_ = s.Close(t.Context())
	})
}

// fullDisk fails after some bytes.
type fullDisk struct{ left int }

func (f *fullDisk) Write(b []byte) (int, error) {
	if f.left -= len(b); f.left < 0 {
		return 0, errors.New("no space left")
	}
	return len(b), nil
}

func (f *fullDisk) Close() error { return nil }

// TestFullDiskEndsTheRecordingAlone: what a recording costs is never the session.
func TestFullDiskEndsTheRecordingAlone(t *testing.T) {
	world(t, func(t *testing.T, p *peer) {
		p.serve = countTo(50)
		cfg := p.config()
		cfg.Record = &fullDisk{left: 20_000}
		p.tapes = nil
		s, err := Dial(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if got := outputs(s.Invoke(t.Context(), readOnly, Options{})); len(got) != 50 {
			t.Errorf("%d records", len(got))
		}
		_ = s.Close(t.Context())
	})
}

// TestTornMessagesAreFilled: what a lost connection leaves of a message is not recorded, because nobody can say what is in it.
func TestTornMessagesAreFilled(t *testing.T) {
	scrub, err := psrp.NewScrubber(tapeKey())
	if err != nil {
		t.Fatal(err)
	}
	if err := scrub.Learn("half-a-secret"); err != nil {
		t.Fatal(err)
	}
	f := psrp.Fragmenter{Max: 80}
	parts := f.Fragments(psrp.Message{Destination: psrp.ToClient, Type: psrp.PipelineOutput, Data: []byte("<S>" + strings.Repeat("half-a-secret ", 20) + "</S>")})
	for claim, pieces := range map[string][][]byte{
		"no end":         parts[:4],
		"a gap":          {parts[0], parts[2], parts[3]},
		"no beginning":   parts[1:],
		"half a header":  {parts[0], parts[1][:12]},
		"half a message": {parts[0], parts[1][:50]},
		"garbage":        {parts[0], []byte("half-a-secret half-a-secret half-a-secret")},
	} {
		t.Run(claim, func(t *testing.T) {
			r, take := newReel(), &take{}
			var blobs [][]byte
			for _, b := range pieces {
				blobs = append(blobs, bytes.Clone(b))
				r.add(take, blobs[len(blobs)-1], scrub)
			}
			r.interrupted()
			r.wipe()
			if take.pending != 0 {
				t.Errorf("%d pieces wait for ever", take.pending)
			}
			for i, b := range blobs {
				if bytes.Contains(b, []byte("secret")) || bytes.Contains(b, []byte("half")) {
					t.Errorf("piece %d: %q", i, b)
				}
				if len(b) != len(pieces[i]) {
					t.Errorf("piece %d has %d bytes, want %d", i, len(b), len(pieces[i]))
				}
			}
		})
	}
}
