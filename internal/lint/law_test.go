package lint

import (
	"go/ast"
	"go/types"
	"slices"
	"strings"
)

// bits are the folders whose floats become weights, data, metrics or pictures. The
// Makefile has the same list for command fused.
var bits = []string{"ddpm", "allreduce", "worker", "internal/picture"}

// exact are the functions and constants of package math that mean the same bits on
// every architecture. The others have assembly for some of them, and FMA is slow
// where the CPU has none; ddpm/rng and ddpm/kernel have their own.
var exact = strings.Fields(`
	Abs Ceil Copysign Dim Float32bits Float32frombits Float64bits Float64frombits Floor Frexp Ilogb Inf IsInf
	IsNaN Ldexp Logb Max Min Mod Modf NaN Nextafter Nextafter32 Remainder Round RoundToEven Signbit Sqrt Trunc
	E Ln10 Ln2 Log10E Log2E Phi Pi Sqrt2 SqrtE SqrtPhi SqrtPi
	MaxFloat32 MaxFloat64 MaxInt MaxInt16 MaxInt32 MaxInt64 MaxInt8 MaxUint MaxUint16 MaxUint32 MaxUint64 MaxUint8
	MinInt MinInt16 MinInt32 MinInt64 MinInt8 SmallestNonzeroFloat32 SmallestNonzeroFloat64`)

func arithmeticRule() rule { return rule{name: "arithmetic", find: findInexact} }

func findInexact(t *tree) []finding {
	return findSelectors(t, bits, func(from, name string) (what, mend string) {
		if from != "math" || slices.Contains(exact, name) {
			return "", ""
		}
		return "math." + name + " differs between architectures or speeds", "use ddpm/rng's or ddpm/kernel's own"
	})
}

// clock are the functions of package time that read or wait for a clock.
var clock = strings.Fields("After AfterFunc NewTicker NewTimer Now Since Sleep Tick Until")

func pureRule() rule { return rule{name: "pure", find: findImpure} }

func findImpure(t *tree) []finding {
	core := []string{"coordinator/core"}
	found := findSelectors(t, core, func(from, name string) (what, mend string) {
		if from != "time" || !slices.Contains(clock, name) {
			return "", ""
		}
		return "time." + name + " in the core", "Step is given the time"
	})
	for _, p := range t.packages {
		if !withinAny(p.dir, core) {
			continue
		}
		for _, f := range p.sources() {
			ast.Inspect(f.ast, func(n ast.Node) bool {
				if g, ok := n.(*ast.GoStmt); ok {
					found = append(found, finding{t.place(g), "a goroutine in the core", "return an effect, and let the shell act"})
				}
				return true
			})
		}
	}
	return found
}

// findSelectors finds names of imported packages that judge says something about,
// in sources of the folders. from is an import path, whatever the file calls it.
func findSelectors(t *tree, dirs []string, judge func(from, name string) (what, mend string)) []finding {
	var found []finding
	for _, p := range t.packages {
		if dirs != nil && !withinAny(p.dir, dirs) {
			continue
		}
		for _, f := range p.sources() {
			ast.Inspect(f.ast, func(n ast.Node) bool {
				s, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				x, ok := s.X.(*ast.Ident)
				if !ok {
					return true
				}
				from, ok := p.info.Uses[x].(*types.PkgName)
				if !ok {
					return true
				}
				if what, mend := judge(from.Imported().Path(), s.Sel.Name); what != "" {
					found = append(found, finding{t.place(s), what, mend})
				}
				return true
			})
		}
	}
	return found
}

func orderRule() rule { return rule{name: "order", find: findMapOrder} }

func findMapOrder(t *tree) []finding {
	var found []finding
	for _, p := range t.packages {
		if !withinAny(p.dir, bits) {
			continue
		}
		for _, f := range p.sources() {
			ast.Inspect(f.ast, func(n ast.Node) bool {
				r, ok := n.(*ast.RangeStmt)
				if !ok {
					return true
				}
				if typ := p.info.Types[r.X].Type; typ != nil {
					if _, ok := typ.Underlying().(*types.Map); ok {
						found = append(found, finding{t.place(r), "a range over a map, whose order differs each time",
							"go over slices.Sorted(maps.Keys(m)), or keep a slice"})
					}
				}
				return true
			})
		}
	}
	return found
}
