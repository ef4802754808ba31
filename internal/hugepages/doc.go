// Package hugepages makes large slices whose memory Linux may back by pages of 2 MiB.
//
// A processor remembers where a thousand or two pages are. With pages of 4 KiB that
// covers a few MiB, less than the operands of one matrix product; and a miss is dear
// in a virtual machine, where host and guest each have a table to walk. Most systems
// give large pages only to programs that ask for them
// (/sys/kernel/mm/transparent_hugepage/enabled says "madvise"). What a slice holds,
// and so every result, is the same with and without them.
package hugepages
