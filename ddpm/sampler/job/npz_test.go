package job

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"io/fs"
	"slices"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/sampler"
)

// The classes are in the npz where the model has any, also where all images are of its
// first, and only there.
func TestNPZHasTheClassesOfAModelWithClasses(t *testing.T) {
	for _, c := range []struct {
		classes int
		drawn   []int
		want    []int64 // nil for no arr_1
	}{
		{classes: 0},
		{classes: 3, drawn: []int{0}, want: []int64{0, 0, 0, 0}},
		{classes: 3, drawn: []int{2, 0}, want: []int64{2, 0, 2, 0}},
		{classes: 3, want: []int64{0, 1, 2, 0}},
		{classes: 1, want: []int64{0, 0, 0, 0}},
	} {
		spec := tiny(t).WithClasses(c.classes, 0)
		j := newJob(spec, sampler.DDIM, 4)
		j.Settings.Classes = c.drawn
		_, content := files(t, spec, j, drawAll(t, runner(t, spec, 1, 0), j, j.N))
		z, err := zip.NewReader(bytes.NewReader(content[NPZName]), int64(len(content[NPZName])))
		if err != nil {
			t.Fatal(err)
		}
		data, err := fs.ReadFile(z, "arr_1.npy")
		if (err == nil) != (c.want != nil) {
			t.Errorf("%d classes, drawn %v: arr_1: %v; want %v", c.classes, c.drawn, err, c.want)
		}
		if err != nil || c.want == nil {
			continue
		}
		got := make([]int64, len(c.want))
		if err := binary.Read(bytes.NewReader(data[len(data)-8*len(c.want):]), binary.LittleEndian, got); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%d classes, drawn %v: arr_1 is %v, want %v", c.classes, c.drawn, got, c.want)
		}
	}
}
