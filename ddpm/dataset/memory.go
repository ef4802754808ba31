package dataset

import "fmt"

func indexError(uri string, i, n int) error {
	return fmt.Errorf("dataset %s: there is no example %d; it has 0 to %d", uri, i, n-1)
}

// checkExample checks the arguments of Example.
func checkExample(d Dataset, i int, dst []uint8) error {
	if i < 0 || i >= d.Len() {
		return indexError(d.URI(), i, d.Len())
	}
	if want := d.Shape().Bytes(); len(dst) != want {
		return fmt.Errorf("dataset %s: an example of %v takes %d bytes, %d are given", d.URI(), d.Shape(), want, len(dst))
	}
	return nil
}
