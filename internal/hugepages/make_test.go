package hugepages

import (
	"testing"
	"unsafe"
)

// odd has a size that divides no page.
type odd [3]*int

// TestMake checks lengths about the size of a page: all zeros, writable to both ends,
// and on a page's boundary from one page on.
func TestMake(t *testing.T) {
	t.Run("float32", check[float32])
	t.Run("odd", check[odd])
	t.Run("empty", check[struct{}])
}

func check[T comparable](t *testing.T) {
	var zero T
	size := max(1, int(unsafe.Sizeof(zero)))
	page := pageBytes / size
	for _, n := range []int{0, 1, 1000, page - 1, page, page + 1, 2*page + 2, 5 * page} {
		s := Make[T](n)
		if len(s) != n || cap(s) != n {
			t.Fatalf("Make(%d) has length %d and capacity %d", n, len(s), cap(s))
		}
		for i, v := range s {
			if v != zero {
				t.Fatalf("Make(%d)[%d] is %v", n, i, v)
			}
		}
		if n*size < pageBytes || unsafe.Sizeof(zero) == 0 {
			continue
		}
		if at := (pageBytes - misaligned(s)) % pageBytes; at >= size {
			t.Errorf("Make(%d) begins %d bytes into a page", n, at)
		}
		s[0], s[n-1] = zero, zero
	}
}

// TestInside checks that only pages which are wholly the slice's are asked for.
func TestInside(t *testing.T) {
	s := Make[byte](4 * pageBytes)
	for _, c := range []struct{ from, to, want int }{
		{0, 4 * pageBytes, 4}, {1, 4 * pageBytes, 3}, {1, 4*pageBytes - 1, 2}, {0, pageBytes - 1, 0},
		{1, pageBytes + 1, 0}, {pageBytes / 2, 3*pageBytes/2 + 1, 0}, {pageBytes, 2 * pageBytes, 1}, {3, 3, 0},
	} {
		got := inside(s[c.from:c.to])
		if len(got) != c.want*pageBytes {
			t.Errorf("inside [%d,%d): %d bytes, want %d pages", c.from, c.to, len(got), c.want)
		}
		if len(got) > 0 && misaligned(got) != 0 {
			t.Errorf("inside [%d,%d) is %d bytes off", c.from, c.to, misaligned(got))
		}
	}
}
