package hugepages

import "syscall"

// advise asks for large pages. A system that has none refuses, and then small ones it
// is: nothing is wrong.
func advise(pages []byte) {
	if len(pages) > 0 {
		_ = syscall.Madvise(pages, syscall.MADV_HUGEPAGE)
	}
}
