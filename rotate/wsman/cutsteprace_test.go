//go:build race

package wsman

// cutStep is a prime, because the race detector makes each cut ten times as slow.
const cutStep = 23
