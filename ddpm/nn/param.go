package nn

import "fmt"

// Param is one parameter tensor: views into the flat vectors of weights and of
// gradients, set anew for every step by Params.
type Param struct {
	// W holds the weights; nobody writes to it. G is what Backward adds to.
	W, G []float32
	off  int
	len  int
}

// Params is the set of a network's parameters, looked up by name while layers
// are built.
type Params struct {
	byName map[string]*Param
	all    []*Param
	total  int
}

// NewParams returns an empty set.
func NewParams() *Params { return &Params{byName: map[string]*Param{}} }

// Declare adds a parameter of n elements at the end of the flat vector.
func (p *Params) Declare(name string, n int) {
	q := &Param{off: p.total, len: n}
	p.byName[name] = q
	p.all = append(p.all, q)
	p.total += n
}

// Get returns a declared parameter. That a layer asks for another name or
// another size is a broken invariant of the network's construction.
func (p *Params) Get(name string, n int) *Param {
	q, ok := p.byName[name]
	if !ok || q.len != n {
		panic(fmt.Sprintf("nn: a layer wants parameter %s of %d elements, which the network does not have", name, n))
	}
	return q
}

// Len counts the elements of all parameters.
func (p *Params) Len() int { return p.total }

// BindWeights points every parameter's W into the flat vector.
func (p *Params) BindWeights(w []float32) {
	for _, q := range p.all {
		q.W = w[q.off : q.off+q.len]
	}
}

// BindGrad points every parameter's G into the flat vector.
func (p *Params) BindGrad(g []float32) {
	for _, q := range p.all {
		q.G = g[q.off : q.off+q.len]
	}
}
