package core

import "iter"

// members are the workers of the current generation that are there. Whoever looks for
// one stops there: a change of a thousand asks thousands of times.
func (m *Machine) members() iter.Seq[*worker] {
	return func(yield func(*worker) bool) {
		for _, w := range m.workers {
			if w.member && !yield(w) {
				return
			}
		}
	}
}

// deserted says that no member of the current generation is there.
func (m *Machine) deserted() bool {
	for range m.members() {
		return false
	}
	return true
}
