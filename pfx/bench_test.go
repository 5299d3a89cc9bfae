package pfx

import (
	"context"
	"testing"

	pkcs12 "software.sslmate.com/src/go-pkcs12"
)

func BenchmarkOpen3DES2000(b *testing.B) {
	file, err := testPack().Encode()
	if err != nil {
		b.Fatal(err)
	}
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Open(context.Background(), file, testPassword, DefaultLimits()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("go-pkcs12", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, _, err := pkcs12.DecodeChain(file, testPassword); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("read only", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Read(file, DefaultLimits()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
