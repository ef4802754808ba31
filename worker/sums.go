package worker

import (
	"github.com/ddpm-cluster/ddpm-cluster/allreduce"
	"github.com/ddpm-cluster/ddpm-cluster/internal/hugepages"
)

// makeSums makes room for the sums of the worker's shards, where the others of its machine
// can read them if that may be.
func (t *trainer) makeSums(n int, private bool) {
	if !private {
		var err error
		if t.sums, err = allreduce.NewSums(n); err == nil {
			t.sum = t.sums.Values()
			return
		}
		t.log.Debug("the sums can't be shared in place", "reason", err.Error())
	}
	t.sum = hugepages.Make[int64](n)
}

// freeSums gives them back, when no all-reduce is under way any more.
func (t *trainer) freeSums() {
	if t.sums == nil {
		return
	}
	if err := t.sums.Close(); err != nil {
		t.log.Warn("the sums' memory was not given back", "error", err)
	}
}
