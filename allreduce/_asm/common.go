package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// function starts a function.
func function(name, signature, doc string) {
	TEXT(name, NOSPLIT, "func("+signature+")")
	Pragma("noescape")
	Doc(name + " " + doc)
}

// pointer loads a pointer parameter.
func pointer(name string) Register { return Load(Param(name), GP64()) }

// parameter is where a parameter lies in memory.
func parameter(name string) Mem {
	a, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return a.Addr
}

// broadcast loads a float64 parameter into all lanes of v.
func broadcast(name string, v VecVirtual) VecVirtual {
	VBROADCASTSD(parameter(name), v)
	return v
}

// load reads a vector into v.
func load(m Op, v VecVirtual) VecVirtual {
	VMOVUPD(m, v)
	return v
}

// zeros returns a vector of zeros.
func zeros() VecVirtual {
	v := YMM()
	VPXOR(v, v, v)
	return v
}

// ones returns a vector with every bit set.
func ones() VecVirtual {
	v := YMM()
	VPCMPEQQ(v, v, v)
	return v
}

// small returns a vector whose words are all ones shifted right and then left.
func small(right, left uint64) VecVirtual {
	v := ones()
	VPSRLQ(Imm(right), v, v)
	if left > 0 {
		VPSLLQ(Imm(left), v, v)
	}
	return v
}

// constants maps a name to a read-only word.
var constants = map[string]Mem{}

// constant returns a vector whose words all hold the bits of x.
func constant(name string, x float64, v VecVirtual) VecVirtual {
	m, ok := constants[name]
	if !ok {
		m = GLOBL(name, RODATA|NOPTR)
		DATA(0, U64(math.Float64bits(x)))
		constants[name] = m
	}
	VBROADCASTSD(m, v)
	return v
}

// groups runs body once for every 8 of the values that the parameter n counts, a
// multiple of 8 above zero, and moves the pointers on by so many bytes a value.
func groups(body func(), pointers []Register, sizes []int) { groupsOf(8, body, pointers, sizes) }

// groupsOf is groups with another number of values than 8.
func groupsOf(count int, body func(), pointers []Register, sizes []int) {
	n := Load(Param("n"), GP64())
	Label("group")
	body()
	for i, p := range pointers {
		ADDQ(Imm(uint64(count*sizes[i])), p.(GPVirtual))
	}
	SUBQ(Imm(uint64(count)), n)
	JNZ(LabelRef("group"))
}

// displaced is what lies so many bytes after a pointer.
func displaced(p Register, disp int) Mem { return Mem{Base: p, Disp: disp} }

// storeAny returns the bits that any word of v has, and leaves no upper halves behind.
func storeAny(v VecVirtual) {
	half, upper := XMM(), XMM()
	VEXTRACTI128(Imm(1), v, half)
	VPOR(half, v.AsX(), half)
	VPSHUFD(Imm(0xee), half, upper)
	VPOR(upper, half, half)
	bits := GP64()
	VMOVQ(half, bits)
	VZEROUPPER()
	Store(bits, ReturnIndex(0))
}
