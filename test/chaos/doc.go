// Package chaos lets real clusters live badly: it kills, halts, ends and adds their
// processes by a seeded schedule, and then holds the weights against those of one
// quiet worker. A short life is in the ordinary tests. Longer ones:
//
//	go test -tags chaos -timeout 0 ./test/chaos -run Long -seed 1 -seeds 10
package chaos
