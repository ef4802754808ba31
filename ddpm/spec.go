package ddpm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strings"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/diffusion"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/unet"
)

// SpecFormat is the version of Spec's JSON and of what it means. A change of what a
// step computes is a new one: a run can't go on with other bits than it began with.
const SpecFormat = 2

// Spec is the config of a run: all that its weights are a function of. How many
// workers, how many threads, how many steps in all and how often to checkpoint
// are not in it, because the weights after a step do not depend on them.
type Spec struct {
	Format int `json:"format"`
	// Preset names where the values below started from.
	Preset string `json:"preset"`
	// Kind names what computes a gradient. Kinds never mix in a run: the law holds
	// within one kind.
	Kind      string           `json:"kind"`
	Model     unet.Config      `json:"model"`
	Diffusion diffusion.Config `json:"diffusion"`
	Optimizer Optimizer        `json:"optimizer"`
	// Batch counts the examples of a step; ShardSize those of a shard, the unit
	// of assignment. ShardSize divides Batch.
	Batch     int `json:"batch"`
	ShardSize int `json:"shard_size"`
	// Timesteps names the plan of t over a batch: TimestepsUniform or
	// TimestepsStratified.
	Timesteps string `json:"timesteps"`
	// Flip mirrors each example horizontally with probability 1/2.
	Flip bool `json:"flip"`
	// FractionBits is the resolution of the sums between shards: 2^-FractionBits.
	FractionBits int `json:"fraction_bits"`
	// GatherDtype is what the averaged gradient is rounded to before anybody uses it, so
	// that it travels in as many bytes: "" is float32, which it is, or GatherBF16.
	GatherDtype string `json:"gather_dtype,omitempty"`
	Seed        uint64 `json:"seed"`
	// Init names the weights that the run begins with, as WeightsDigest does; "" are
	// those of NewState.
	Init string `json:"init,omitempty"`
	// Dataset is the canonical URI; DatasetDigest names its content, so that the
	// same data under another path is the same run; DatasetLen counts examples.
	Dataset       string `json:"dataset"`
	DatasetDigest string `json:"dataset_digest"`
	DatasetLen    int    `json:"dataset_len"`
	// LabelDropout is the probability that an example of a model with classes is seen
	// without its own, so that the model also learns to do without (Ho and Salimans
	// 2022); the class embedding then has one row more.
	LabelDropout float64 `json:"label_dropout,omitempty"`
	// LabelsDigest names the labels, which the dataset's digest does not, where the
	// model has classes.
	LabelsDigest string `json:"labels_digest,omitempty"`
	// Local is the mode of little communication.
	Local Local `json:"local,omitzero"`
}

// Optimizer is Adam with warm-up, clipping and a moving average (Ho et al. 2020,
// appendix B).
type Optimizer struct {
	LearningRate float64 `json:"learning_rate"`
	// WarmupSteps ramps the learning rate linearly; the first update has rate 0.
	WarmupSteps int     `json:"warmup_steps"`
	Beta1       float64 `json:"beta1"`
	Beta2       float64 `json:"beta2"`
	Epsilon     float64 `json:"epsilon"`
	// ClipNorm bounds the global norm of the averaged gradient; 0 does not clip.
	ClipNorm float64 `json:"clip_norm"`
	// EMADecay is the moving average's decay once it is warm: the decay of update
	// k = 0, 1, … is min(EMADecay, (1+k)/(10+k)).
	EMADecay float64 `json:"ema_decay"`
}

// Values of Spec.Kind and Spec.Timesteps.
const (
	KindCPU             = "cpu"
	TimestepsUniform    = "uniform"
	TimestepsStratified = "stratified"
)

// GatherBF16 is a Spec.GatherDtype: bfloat16, to nearest, ties to even.
const GatherBF16 = "bf16"

// The bounds of Spec.FractionBits.
const (
	MinFractionBits = 24
	MaxFractionBits = 48
)

// maxBatch bounds the examples of a step.
const maxBatch = 1 << 20

// Shards counts the shards of a step.
func (s Spec) Shards() int { return s.Batch / s.ShardSize }

// Classes counts the classes that the model is trained with; 0 is none.
func (s Spec) Classes() int {
	if s.LabelDropout > 0 {
		return s.Model.ClassEmbeds - 1
	}
	return s.Model.ClassEmbeds
}

// WithClasses sets how many classes the model is trained with, and the dropout of
// their labels.
func (s Spec) WithClasses(classes int, labelDropout float64) Spec {
	s.Model.ClassEmbeds, s.LabelDropout = classes, labelDropout
	if classes > 0 && labelDropout > 0 {
		s.Model.ClassEmbeds++
	}
	return s
}

// Validate reports everything that is wrong with the config.
func (s Spec) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(s.Format == SpecFormat, "format %d: this build reads format %d", s.Format, SpecFormat)
	check(s.Kind == KindCPU, "kind %q: this build knows %q", s.Kind, KindCPU)
	if err := s.checkBatch(); err != nil {
		errs = append(errs, err)
	} else {
		errs = append(errs, s.checkGroups())
	}
	check(s.Timesteps == TimestepsUniform || s.Timesteps == TimestepsStratified,
		"timesteps %q: must be %q or %q", s.Timesteps, TimestepsUniform, TimestepsStratified)
	check(s.Init == "" || digestForm().MatchString(s.Init), "init %q: must be sha256: and 64 hexadecimal digits", s.Init)
	check(s.FractionBits >= MinFractionBits && s.FractionBits <= MaxFractionBits, "fraction_bits %d: must be in %d … %d", s.FractionBits, MinFractionBits, MaxFractionBits)
	check(s.GatherDtype == "" || s.GatherDtype == GatherBF16, "gather_dtype %q: must be %q, or absent for float32", s.GatherDtype, GatherBF16)
	check(s.LabelDropout >= 0 && s.LabelDropout < 1, "label-dropout %g: must be in [0, 1)", s.LabelDropout)
	check(s.LabelDropout == 0 || s.Classes() >= 1, "label-dropout %g: the model has no classes", s.LabelDropout)
	errs = append(errs, s.Model.Validate(), s.Diffusion.Validate(), s.Optimizer.Validate(), s.Local.Validate())
	return errors.Join(errs...)
}

// digestForm is how a digest is written.
func digestForm() *regexp.Regexp { return regexp.MustCompile(`^sha256:[0-9a-f]{64}$`) }

// checkBatch says what is wrong with the batch or with its shards.
func (s Spec) checkBatch() error {
	switch {
	case s.Batch < 1 || s.Batch > maxBatch:
		return fmt.Errorf("batch %d: must be in 1 … %d", s.Batch, maxBatch)
	case s.ShardSize < 1 || s.ShardSize > s.Batch:
		return fmt.Errorf("shard-size %d: must be in 1 … %d, the batch", s.ShardSize, s.Batch)
	case s.Batch%s.ShardSize != 0:
		return fmt.Errorf("shard-size %d does not divide batch %d; divisors near it: %v", s.ShardSize, s.Batch, divisorsNear(s.Batch, s.ShardSize))
	}
	return nil
}

// Validate reports what is wrong with the optimizer's settings.
func (o Optimizer) Validate() error {
	switch {
	case !(o.LearningRate > 0 && o.LearningRate <= 1):
		return fmt.Errorf("lr %g: must be above 0 and at most 1", o.LearningRate)
	case o.WarmupSteps < 0:
		return fmt.Errorf("warmup_steps %d: must not be negative", o.WarmupSteps)
	case !(o.Beta1 >= 0 && o.Beta1 < 1 && o.Beta2 >= 0 && o.Beta2 < 1):
		return fmt.Errorf("beta1 %g and beta2 %g: must be in [0, 1)", o.Beta1, o.Beta2)
	case !(o.Epsilon > 0):
		return fmt.Errorf("epsilon %g: must be positive", o.Epsilon)
	case !(o.ClipNorm >= 0) || math.IsInf(o.ClipNorm, 1):
		return fmt.Errorf("clip_norm %g: must be 0 (off) or positive", o.ClipNorm)
	case !(o.EMADecay >= 0 && o.EMADecay < 1):
		return fmt.Errorf("ema_decay %g: must be in [0, 1)", o.EMADecay)
	}
	return nil
}

// divisorsNear lists the divisors of batch next below and above size, which is in
// 1 … batch and no divisor itself.
func divisorsNear(batch, size int) []int {
	below, above := size, size
	for batch%below != 0 {
		below--
	}
	for batch%above != 0 {
		above++
	}
	return []int{below, above}
}

// Encode writes the config as indented JSON, the content of a run's run.json.
func (s Spec) Encode() ([]byte, error) {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode run config: %w", err)
	}
	return append(b, '\n'), nil
}

// DecodeSpec reads a config and validates it. Unknown keys are refused: they
// would be part of what the weights depend on.
func DecodeSpec(b []byte) (Spec, error) {
	var s Spec
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return Spec{}, fmt.Errorf("decode run config: %w", err)
	}
	if err := s.Validate(); err != nil {
		return Spec{}, fmt.Errorf("run config: %w", err)
	}
	return s, nil
}

// Differences lists, as "key: this, not that" lines, in what two configs differ
// that the weights depend on. The dataset's URI may differ if its digest agrees,
// and the preset's name says nothing by itself.
func (s Spec) Differences(other Spec) []string {
	s.Preset, other.Preset = "", ""
	if s.DatasetDigest == other.DatasetDigest {
		s.Dataset, other.Dataset = "", ""
	}
	return differences("", reflect.ValueOf(s), reflect.ValueOf(other))
}

func differences(prefix string, a, b reflect.Value) []string {
	var out []string
	for i := range a.NumField() {
		tag, _, _ := strings.Cut(a.Type().Field(i).Tag.Get("json"), ",")
		name := prefix + tag
		x, y := a.Field(i), b.Field(i)
		switch {
		case x.Kind() == reflect.Struct:
			out = append(out, differences(name+".", x, y)...)
		case !reflect.DeepEqual(x.Interface(), y.Interface()):
			out = append(out, fmt.Sprintf("%s: %v, not %v", name, x.Interface(), y.Interface()))
		}
	}
	return out
}
