package choice

import (
	"strings"
	"testing"
)

// Many members and small buckets are halved, few members and large buckets are not.
func TestChoose(t *testing.T) {
	t.Parallel()
	fast := []Link{{1e-5, 1e10}, {2e-5, 1e10}, {5, 1}} // one is an outlier
	for _, tt := range []struct {
		name  string
		c     Cluster
		halve bool
		says  string
	}{
		{"alone", Cluster{Members: 1, Elems: 1000}, false, "ring: 1 member,"},
		{"two", Cluster{Members: 2, Elems: 1000}, false, "ring: "},
		{"three", Cluster{Members: 3, Elems: 1000}, false, "ring: "},
		{"eight, a small model", Cluster{Members: 8, Elems: 100_000}, true, "halving: 8 members, 90 us a hop (assumed), 10 Gbit/s (assumed)"},
		{"eight, a large model with a small last bucket", Cluster{Members: 8, Elems: 35_746_307}, true, "halving up to 524288 elements, ring above: 8 members"},
		{"eight, whole buckets", Cluster{Members: 8, Elems: 32 << 20}, false, "ring: all buckets are above 524288 elements"},
		{"many, whole buckets", Cluster{Members: 256, Elems: 32 << 20}, true, "halving: 256 members"},
		{"measured", Cluster{Members: 16, Elems: 1000, Links: fast}, true, "60 us a hop, 80 Gbit/s"},
		{"a slow link", Cluster{Members: 8, Elems: 100_000, Links: []Link{{Bandwidth: 1e6}}}, false, "0.008 Gbit/s"},
		{"two hosts of eight", Cluster{Members: 16, Hosts: []int{8, 8}, Elems: 100_000}, false, "two-level: 8 lanes between 2 hosts, 16 members"},
		{"hosts of four, a large model", Cluster{Members: 8, Hosts: []int{4, 4}, Elems: 35_746_307}, false, "two-level: 4 lanes between 2 hosts, 8 members"},
		{"two alone, and one host of two", Cluster{Members: 4, Hosts: []int{1, 2, 1}, Elems: 35_746_307}, false, "ring: "},
		{"hosts of four in containers", Cluster{Members: 8, Hosts: []int{4, 4}, Apart: true, Elems: 35_746_307}, false, "ring: all buckets are above 32768 elements"},
		{"hosts of one", Cluster{Members: 8, Hosts: []int{1, 1, 1, 1, 1, 1, 1, 1}, Elems: 100_000}, true, "halving: "},
		{"one host", Cluster{Members: 8, Hosts: []int{8}, Elems: 100_000}, true, "halving: "},
	} {
		p, reason := Choose(tt.c)
		elems := p.HalvingElems
		if p.Lanes != strings.HasPrefix(reason, "two-level") {
			t.Errorf("%s: %+v, %q", tt.name, p, reason)
		}
		if (elems > 0) != tt.halve || !strings.Contains(reason, tt.says) {
			t.Errorf("%s: up to %d elements, %q", tt.name, elems, reason)
		}
	}
}

// More latency never makes fewer buckets go by halving, nor does more bandwidth.
func TestBoundIsMonotone(t *testing.T) {
	t.Parallel()
	for _, members := range []int{4, 7, 8, 64, 100} {
		last := 0
		for latency := 1e-6; latency < 1; latency *= 3 {
			p, _ := Choose(Cluster{Members: members, Elems: 1, Links: []Link{{latency, 1e9}}})
			elems := p.HalvingElems
			if elems < last {
				t.Errorf("%d members, %g s: up to %d elements, and %d with less", members, latency, elems, last)
			}
			last = elems
		}
		if last == 0 {
			t.Errorf("%d members never halve", members)
		}
	}
}
