//go:build !race

package wsman

// cutStep is how far apart the cuts of TestCutAtEveryByte are.
const cutStep = 1
