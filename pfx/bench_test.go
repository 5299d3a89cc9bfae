package pfx

import (
	"context"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // RFC 7292 derives keys with it
	"crypto/sha256"
	"testing"
	"time"

	pkcs12 "software.sslmate.com/src/go-pkcs12"
)

// mostOverFloor is what parsing, ciphers and the check of the private key may add to the hashing.
const mostOverFloor = 1.6

// BenchmarkOpen reports how many times the unavoidable a file costs: the hashes that its iteration counts demand, as fast
// as the standard library computes them. Both are measured in turns within one run, and the best turn of each counts,
// because a busy machine slows single turns and not the ratio.
func BenchmarkOpen(b *testing.B) {
	for _, row := range []struct {
		encryption string
		floor      func()
	}{
		{TripleDESSHA1, func() {
			// Key and IV take 3 sums an iteration, for the safe and for the key; the MAC takes 1.
			var sum [sha1.Size]byte
			for range 7 * windowsIterations {
				sum = sha1.Sum(sum[:]) //nolint:gosec // see above
			}
		}},
		{AES256SHA256, func() {
			// A PBKDF2 iteration is one HMAC over one block, for the safe and for the key; the MAC takes 1 sum.
			prf := hmac.New(sha256.New, []byte(testPassword))
			sum := make([]byte, sha256.Size)
			for range 2 * windowsIterations {
				prf.Reset()
				prf.Write(sum)
				sum = prf.Sum(sum[:0])
			}
			var chained [sha256.Size]byte
			for range windowsIterations {
				chained = sha256.Sum256(chained[:])
			}
		}},
	} {
		b.Run(row.encryption, func(b *testing.B) {
			p := testPack()
			p.Encryption = row.encryption
			file, err := p.Encode()
			if err != nil {
				b.Fatal(err)
			}
			best := [3]time.Duration{1 << 62, 1 << 62, 1 << 62}
			b.ReportAllocs()
			for b.Loop() {
				for i, turn := range []func(){
					row.floor,
					func() { must(Open(context.Background(), file, testPassword, DefaultLimits())) },
					func() { _, _, _, _ = pkcs12.DecodeChain(file, testPassword) },
				} {
					start := time.Now()
					turn()
					best[i] = min(best[i], time.Since(start))
				}
			}
			ratio := best[1].Seconds() / best[0].Seconds()
			if ratio > mostOverFloor && b.N >= 100 { // fewer turns prove nothing
				b.Errorf("%.2f times the hashing, want at most %.1f", ratio, mostOverFloor)
			}
			b.ReportMetric(ratio, "×floor")
			b.ReportMetric(best[2].Seconds()/best[0].Seconds(), "×floor-go-pkcs12")
			b.ReportMetric(float64(best[1].Microseconds()), "µs/open")
		})
	}
}

// BenchmarkAlone has what the comparison above hides: allocations, and what a profile should see.
func BenchmarkAlone(b *testing.B) {
	file, err := testPack().Encode()
	if err != nil {
		b.Fatal(err)
	}
	b.Run("open", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			must(Open(context.Background(), file, testPassword, DefaultLimits()))
		}
	})
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			must(Read(file, DefaultLimits()))
		}
	})
}
