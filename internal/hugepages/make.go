package hugepages

import "unsafe"

// pageBytes is the size of a large page on amd64, and on arm64 with pages of 4 KiB.
const pageBytes = 2 << 20

// Make returns n zeros, as make does. From one large page on they begin where such a
// page does, or less than an element behind, and the large pages that they fill are
// asked for; a last one that they fill in part is not, so that no more memory comes
// in use than with small pages.
func Make[T any](n int) []T {
	var element T
	size := int(unsafe.Sizeof(element))
	if size == 0 || n < pageBytes/size {
		return make([]T, n)
	}
	s := make([]T, n+pageBytes/size)
	skip := (misaligned(s) + size - 1) / size
	s = s[skip : skip+n : skip+n]
	advise(inside(s))
	return s
}

// misaligned returns the bytes from the start of s to that of a large page.
func misaligned[T any](s []T) int {
	past := uintptr(unsafe.Pointer(unsafe.SliceData(s))) % pageBytes
	return int((pageBytes - past) % pageBytes)
}

// inside returns the large pages that lie wholly in s.
func inside[T any](s []T) []byte {
	var element T
	before, bytes := misaligned(s), len(s)*int(unsafe.Sizeof(element))
	if bytes-before < pageBytes {
		return nil
	}
	all := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), bytes)
	return all[before : before+(bytes-before)/pageBytes*pageBytes]
}
