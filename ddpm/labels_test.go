package ddpm

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/unet"
)

// labeledRamps are ramps of three classes.
type labeledRamps struct{ ramps }

func (labeledRamps) Label(i int) int { return i % 3 }

var _ dataset.Labeled = labeledRamps{}

// A config without classes is written as before there were any.
func TestAConfigWithoutClassesSaysNothingOfThem(t *testing.T) {
	b, err := planSpec().Encode()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), "class") || strings.Contains(string(b), "label") {
		t.Errorf("the config says %s", b)
	}
	s := planSpec().WithClasses(3, 0.1)
	if s.Classes() != 3 || s.Model.ClassEmbeds != 4 {
		t.Errorf("3 classes and none: %d classes, %d rows", s.Classes(), s.Model.ClassEmbeds)
	}
	if s := planSpec().WithClasses(3, 0); s.Classes() != 3 || s.Model.ClassEmbeds != 3 {
		t.Errorf("3 classes: %d classes, %d rows", s.Classes(), s.Model.ClassEmbeds)
	}
	if d := s.Differences(planSpec()); !slices.Contains(d, "label_dropout: 0.1, not 0") {
		t.Errorf("the differences are %q", d)
	}
	bad := planSpec()
	bad.LabelDropout = 0.5
	if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), "no classes") {
		t.Errorf("label dropout without classes: %v", err)
	}
}

// An image's class is a shift of the time embedding: a network without classes whose
// last bias has it in it predicts the same, and has the same gradient there.
func TestAClassShiftsTheTimeEmbedding(t *testing.T) {
	s := planSpec()
	s.Model.Dropout = 0
	c := s.WithClasses(3, 0.1)
	with := wideState(c)
	ps := c.Model.Params()
	at := slices.IndexFunc(ps, func(p unet.Param) bool { return p.Name == "class_embedding.weight" })
	table, bias, width := ps[at], ps[at-1], s.Model.TimeChannels()
	if bias.Name != "time_embedding.linear_2.bias" || !slices.Equal(table.Shape, []int{4, width}) {
		t.Fatalf("%s %v follows %s", table.Name, table.Shape, bias.Name)
	}
	const class = 2
	row := with.Weights[table.Offset+class*width : table.Offset+(class+1)*width]
	without := slices.Concat(with.Weights[:table.Offset], with.Weights[table.Offset+table.Len():])
	for i, v := range row {
		without[bias.Offset+i] += v
	}
	x, ts := make([]float32, 2*s.Model.ImageLen()), []int{20, 700}
	for i := range x {
		x[i] = float32(i%17)/8 - 1
	}
	a, b := unet.New(c.Model, nil), unet.New(s.Model, nil)
	a.SetWeights(with.Weights)
	b.SetWeights(without)
	got := a.Forward(x, ts, unet.Training(0, nil).WithClasses([]int{class, class}))
	want := b.Forward(x, ts, unet.Training(0, nil))
	if e := relative(got, want); !(e < 1e-5) {
		t.Errorf("the prediction is off by %.1e of its norm", e)
	}
	ga, gb := make([]float32, len(with.Weights)), make([]float32, len(without))
	a.Backward(slices.Clone(want), ga, nil)
	b.Backward(slices.Clone(want), gb, nil)
	if e := relative(ga[table.Offset+class*width:table.Offset+(class+1)*width], gb[bias.Offset:bias.Offset+width]); !(e < 1e-4) {
		t.Errorf("the gradient of the class' row is off by %.1e of its norm", e)
	}
	for i, g := range ga[table.Offset : table.Offset+table.Len()] {
		if i/width != class && g != 0 {
			t.Fatalf("class %d has a gradient, though no image is of it", i/width)
		}
	}
	free := slices.Clone(a.Forward(x, ts, unet.Sampling()))
	if last := a.Forward(x, ts, unet.Sampling().WithClasses([]int{3, 3})); !slices.Equal(free, last) {
		t.Error("without a class it is not the last row's prediction")
	}
}

func TestLabelsReachTheBatch(t *testing.T) {
	s := planSpec().WithClasses(3, 0.25)
	data := labeledRamps{ramps{n: s.DatasetLen, spec: s}}
	dropped, examples := 0, 0
	for step := range uint64(200) {
		var b Batch
		shard := PlanStep(s, step).Shard(0)
		if err := b.Load(s, data, shard); err != nil {
			t.Fatal(err)
		}
		for e, ex := range shard {
			examples++
			switch b.Classes[e] {
			case 3:
				dropped++
			case int(ex.Index) % 3:
			default:
				t.Fatalf("step %d, example %d has class %d, its label is %d", step, e, b.Classes[e], ex.Index%3)
			}
		}
	}
	if rate := float64(dropped) / float64(examples); math.Abs(rate-0.25) > 0.1 {
		t.Errorf("%.2f of the labels are dropped, want 0.25", rate)
	}
	var b Batch
	if err := b.Load(s, ramps{n: s.DatasetLen, spec: s}, PlanStep(s, 0).Shard(0)); err == nil || !strings.Contains(err.Error(), "has no labels") {
		t.Errorf("a dataset without labels: %v", err)
	}
	few := planSpec().WithClasses(2, 0)
	if _, err := LabelsDigest(few, data); err == nil || !strings.Contains(err.Error(), "label 2") {
		t.Errorf("a label too many: %v", err)
	}
	if _, err := LabelsDigest(s, ramps{n: s.DatasetLen, spec: s}); err == nil || !strings.Contains(err.Error(), "by --classes") {
		t.Errorf("who trains hears of a dataset without labels: %v", err)
	}
	if d, err := LabelsDigest(planSpec(), ramps{}); d != "" || err != nil {
		t.Errorf("without classes the labels' digest is %q, %v", d, err)
	}
}
