package worker

import (
	"slices"
	"sync"
	"testing"

	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// A coordinator that is found while steps are completed hears of them in their order.
func TestMissedStepsAreToldFirst(t *testing.T) {
	b := &backlog{}
	for s := range uint64(5) {
		b.add(&ddpmv1.Progress{Step: s + 1}, nil)
	}
	var told []uint64
	var training sync.WaitGroup
	began := make(chan struct{})
	b.catchUp(func() {
		training.Go(func() {
			close(began)
			b.add(&ddpmv1.Progress{Step: 6}, func() { told = append(told, 6) })
		})
		<-began
	}, 2, 9, func(p *ddpmv1.Progress) {
		if p.GetGeneration() != 9 {
			t.Errorf("step %d is told as of generation %d", p.GetStep(), p.GetGeneration())
		}
		told = append(told, p.GetStep())
	})
	training.Wait()
	if want := []uint64{3, 4, 5, 6}; !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
}
