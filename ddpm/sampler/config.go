package sampler

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/diffusion"
)

// The methods.
const (
	Ancestral = "ancestral"
	DDIM      = "ddim"
	DPMPP2M   = "dpmpp_2m"
	UniPC     = "unipc"
	Heun      = "heun"
)

// Methods lists the methods, the paper's first.
func Methods() []string { return []string{Ancestral, DDIM, DPMPP2M, UniPC, Heun} }

// FewSteps is the default number of steps of every method but Ancestral, which
// takes all.
const FewSteps = 50

// Config is how images are drawn. With the weights, the seed and its number it
// determines an image.
type Config struct {
	// Method is one of Methods.
	Method string `json:"sampler"`
	// Steps is how many timesteps are visited. Heun evaluates the network twice at
	// each but the last; quadratic spacing visits fewer where they fall together.
	Steps int `json:"steps"`
	// Eta scales the noise that DDIM adds: 0 adds none, 1 is an ancestral sampler
	// with the posterior's variance.
	Eta float64 `json:"eta"`
	// Spacing is one of Spacings: which timesteps are visited.
	Spacing string `json:"spacing"`
	// Clip clips every predicted x_0 to [-1, 1], the range of pixels.
	Clip bool `json:"clip"`
	// Variance is sigma² of Ancestral, diffusion.FixedLarge or FixedSmall; the
	// others have none, and leave it empty.
	Variance string `json:"variance,omitempty"`
	// Guidance is w of eps = eps(no class) + w·(eps(class) - eps(no class)) (Ho and
	// Salimans 2022, with w here for their 1 + w): 1 is the conditional prediction
	// alone. Models without classes have 1.
	Guidance float64 `json:"guidance"`
	// Classes are dealt to the images in turn: image i has Classes[i mod len]. Empty
	// means all classes of the model, in order. An interpolation has one class, that
	// of image 0.
	Classes []int  `json:"classes,omitempty"`
	Seed    uint64 `json:"seed"`
	// Towards, if not nil, draws what lies between two images instead: see
	// Interpolation.
	Towards *Interpolation `json:"interpolate,omitempty"`
	// Batch is how many images go through the network at once, which changes no
	// image; 0 chooses by their size alone.
	Batch int `json:"-"`
}

// Interpolation starts image i of Images from between the noise of image 0 of
// Config.Seed (i = 0) and that of image 0 of Seed (the last), on the great circle
// through both (Song et al. 2021, section 5.3).
type Interpolation struct {
	Seed   uint64 `json:"seed"`
	Images int    `json:"images"`
}

// Defaults returns the config of a method for a process: all steps and the run's
// variance for Ancestral, FewSteps for the others; with clipping unless the process
// is one without, and without noise that the method does not need. Unknown methods get a config that Validate
// refuses.
func Defaults(method string, process diffusion.Config) Config {
	c := Config{Method: method, Steps: min(FewSteps, process.Steps), Spacing: Leading, Clip: !process.NoClip, Guidance: 1}
	switch method {
	case Ancestral:
		c.Steps, c.Variance = process.Steps, process.Variance
	case DPMPP2M, UniPC:
		c.Steps, c.Spacing = max(1, min(20, process.Steps-1)), Linspace
	case Heun:
		c.Steps = min(25, process.Steps)
		c.Spacing = Trailing
	}
	return c
}

// Validate reports everything that is wrong for a process, and for a model that
// knows so many classes; 0 for one without.
func (c Config) Validate(process diffusion.Config, classes int) error {
	if !slices.Contains(Methods(), c.Method) {
		return fmt.Errorf("sampler %q: must be one of %s", c.Method, strings.Join(Methods(), ", "))
	}
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Eta >= 0 && c.Eta <= 1, "eta %g: must be in [0, 1]", c.Eta)
	check(c.Eta == 0 || c.Method == DDIM, "eta %g: only the sampler %q has one", c.Eta, DDIM)
	check(c.Batch >= 0, "batch %d: must not be negative", c.Batch)
	if c.Method == Ancestral {
		check(c.Variance == diffusion.FixedLarge || c.Variance == diffusion.FixedSmall,
			"variance %q: must be %q or %q", c.Variance, diffusion.FixedLarge, diffusion.FixedSmall)
	} else {
		check(c.Variance == "", "variance %q: only the sampler %q has one", c.Variance, Ancestral)
	}
	_, err := c.timesteps(process.Steps)
	return errors.Join(append(errs, err, c.checkClasses(classes), c.checkTowards())...)
}

func (c Config) checkClasses(classes int) error {
	switch {
	case !(c.Guidance >= 0 && c.Guidance <= 100):
		return fmt.Errorf("guidance %g: must be in [0, 100]", c.Guidance)
	case classes == 0 && c.Guidance != 1:
		return fmt.Errorf("guidance %g: the model has no classes; it must be 1", c.Guidance)
	case classes == 0 && len(c.Classes) > 0:
		return fmt.Errorf("classes %v: the model has none", c.Classes)
	}
	for _, k := range c.Classes {
		if k < 0 || k >= classes {
			return fmt.Errorf("class %d: the model has 0 … %d", k, classes-1)
		}
	}
	return nil
}

func (c Config) checkTowards() error {
	switch {
	case c.Towards == nil:
		return nil
	case c.Towards.Images < 2:
		return fmt.Errorf("interpolation over %d images: needs at least 2, the ends", c.Towards.Images)
	case c.Towards.Seed == c.Seed:
		return fmt.Errorf("interpolation from seed %d to itself: give two seeds", c.Seed)
	case len(c.Classes) > 1:
		return fmt.Errorf("interpolation with classes %v: neighbours would have nothing in common; name one class, which all images are of", c.Classes)
	case c.noisy():
		return errors.New("interpolation: the sampler must add no noise, or neighbours have nothing in common; use ddim with eta 0, or a solver")
	}
	return nil
}

// noisy says whether the method adds noise on the way.
func (c Config) noisy() bool { return c.Method == Ancestral || c.Eta != 0 }

// Class is the class of image i, for a model of so many; 0 for a model of none. Both
// ends of an interpolation are images 0, so all that lies between is of their class.
func (c Config) Class(i, classes int) int {
	if c.Towards != nil {
		i = 0
	}
	switch {
	case classes == 0:
		return 0
	case len(c.Classes) > 0:
		return c.Classes[i%len(c.Classes)]
	}
	return i % classes
}
