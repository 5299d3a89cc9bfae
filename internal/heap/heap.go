// Package heap tells what a call allocates, for the tests and fuzz targets that hold a parser of strangers' bytes to a bound:
// a short message must not make the tool take much memory, whatever lengths and counts it claims.
package heap

import "runtime/metrics"

const allocated = "/gc/heap/allocs:bytes"

// Spent is how many bytes the whole process allocated on its heap while f ran, freed since or not. What other goroutines
// allocate meanwhile is in it, and small objects are counted by the page that holds them: bounds want some room.
func Spent(f func()) uint64 {
	before := read()
	f()
	return read() - before
}

func read() uint64 {
	s := []metrics.Sample{{Name: allocated}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
