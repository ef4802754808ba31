package unet

import "fmt"

// Param is one parameter tensor: its name and shape are those of diffusers'
// UNet2DModel, so that a state is read by anything that reads that.
type Param struct {
	Name string
	// Shape is [out, in, kh, kw] for a convolution, [out, in] for a linear layer,
	// [classes, channels] for the class embedding,
	// [channels] for a bias or a norm.
	Shape []int
	// Init says how the tensor starts.
	Init Init
	// Offset is where the tensor begins in the flat parameter vector.
	Offset int
}

// Init is the initialisation of a parameter (Ho's released code, nn.py).
type Init uint8

// The initialisations that the paper's code uses.
const (
	// InitZero is for biases.
	InitZero Init = iota
	// InitOne is for the scale of a norm.
	InitOne
	// InitFanAvg is uniform in ±sqrt(6/(fan_in+fan_out)).
	InitFanAvg
	// InitFanAvgTiny is InitFanAvg with the variance scaled by 1e-10: the last
	// layer of each residual branch and of the network starts at almost zero.
	InitFanAvgTiny
)

// Len counts the elements of the tensor.
func (p Param) Len() int {
	n := 1
	for _, d := range p.Shape {
		n *= d
	}
	return n
}

// Params lists the network's parameters in the order of the flat parameter
// vector: down the network, through the middle, and up again.
func (c Config) Params() []Param {
	l := &paramList{}
	te := c.TimeChannels()
	l.conv("conv_in", c.Channels[0], c.InChannels, 3, InitFanAvg)
	l.linear("time_embedding.linear_1", te, c.Channels[0], InitFanAvg)
	l.linear("time_embedding.linear_2", te, te, InitFanAvg)
	if c.ClassEmbeds > 0 {
		l.add("class_embedding.weight", InitFanAvg, c.ClassEmbeds, te)
	}
	for _, b := range c.downBlocks() {
		l.block(b, te)
		if b.resample {
			l.conv(b.name+".downsamplers.0.conv", b.out, b.out, 3, InitFanAvg)
		}
	}
	l.block(c.midBlock(), te)
	for _, b := range c.upBlocks() {
		l.block(b, te)
		if b.resample {
			l.conv(b.name+".upsamplers.0.conv", b.out, b.out, 3, InitFanAvg)
		}
	}
	l.norm("conv_norm_out", c.Channels[0])
	l.conv("conv_out", c.OutChannels, c.Channels[0], 3, InitFanAvgTiny)
	return l.params
}

// ParamCount counts the elements of all parameters.
func (c Config) ParamCount() int {
	ps := c.Params()
	last := ps[len(ps)-1]
	return last.Offset + last.Len()
}

type paramList struct {
	params []Param
	offset int
}

func (l *paramList) add(name string, init Init, shape ...int) {
	p := Param{Name: name, Shape: shape, Init: init, Offset: l.offset}
	l.params = append(l.params, p)
	l.offset += p.Len()
}

func (l *paramList) norm(name string, c int) {
	l.add(name+".weight", InitOne, c)
	l.add(name+".bias", InitZero, c)
}

func (l *paramList) linear(name string, out, in int, init Init) {
	l.add(name+".weight", init, out, in)
	l.add(name+".bias", InitZero, out)
}

func (l *paramList) conv(name string, out, in, k int, init Init) {
	l.add(name+".weight", init, out, in, k, k)
	l.add(name+".bias", InitZero, out)
}

func (l *paramList) block(b block, te int) {
	for j, in := range b.in {
		l.resnet(fmt.Sprintf("%s.resnets.%d", b.name, j), in, b.out, te)
		if j < b.attentions {
			l.attention(fmt.Sprintf("%s.attentions.%d", b.name, j), b.out)
		}
	}
}

func (l *paramList) resnet(name string, in, out, te int) {
	l.norm(name+".norm1", in)
	l.conv(name+".conv1", out, in, 3, InitFanAvg)
	l.linear(name+".time_emb_proj", out, te, InitFanAvg)
	l.norm(name+".norm2", out)
	l.conv(name+".conv2", out, out, 3, InitFanAvgTiny)
	if in != out {
		l.conv(name+".conv_shortcut", out, in, 1, InitFanAvg)
	}
}

func (l *paramList) attention(name string, c int) {
	l.norm(name+".group_norm", c)
	l.linear(name+".to_q", c, c, InitFanAvg)
	l.linear(name+".to_k", c, c, InitFanAvg)
	l.linear(name+".to_v", c, c, InitFanAvg)
	l.linear(name+".to_out.0", c, c, InitFanAvgTiny)
}
