package lint

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"strconv"
	"strings"
)

func panicRule() rule { return rule{name: "panic", find: findPanics} }

func findPanics(t *tree) []finding {
	return findBuiltins(t, func(p *pkg, name string, call *ast.CallExpr) (what, mend string) {
		if name != "panic" || strings.HasPrefix(message(p, call), p.name()+": ") {
			return "", ""
		}
		return "a panic that doesn't say whose invariant is broken",
			fmt.Sprintf("return an error; or, where only a defect of this program leads here, panic with %q and what is wrong", p.name()+": ")
	})
}

// message is the text that the argument of a panic begins with, as far as it is
// written there: a literal, or the format of fmt.Sprintf or fmt.Errorf.
func message(p *pkg, call *ast.CallExpr) string {
	if len(call.Args) == 0 {
		return ""
	}
	switch x := call.Args[0].(type) {
	case *ast.BasicLit:
		s, _ := strconv.Unquote(x.Value) // "" for a number, which is no message
		return s
	case *ast.BinaryExpr:
		return message(p, &ast.CallExpr{Args: []ast.Expr{x.X}})
	case *ast.CallExpr:
		if s, ok := x.Fun.(*ast.SelectorExpr); ok && (s.Sel.Name == "Sprintf" || s.Sel.Name == "Errorf") {
			return message(p, x)
		}
	}
	return ""
}

func voiceRule() rule { return rule{name: "voice", find: findVoices} }

func findVoices(t *tree) []finding {
	const mend = "return an error, log to the injected *slog.Logger, or write to an io.Writer argument"
	commands := make(map[string]bool)
	for _, p := range t.packages {
		commands[p.dir] = p.name() == "main"
	}
	found := findSelectors(t, nil, func(from, name string) (string, string) {
		voice := from == "fmt" && strings.HasPrefix(name, "Print") || from == "os" && name == "Exit"
		if !voice {
			return "", ""
		}
		return from + "." + name + " in a library", mend
	})
	found = append(found, findBuiltins(t, func(_ *pkg, name string, _ *ast.CallExpr) (string, string) {
		if name != "print" && name != "println" {
			return "", ""
		}
		return name + " in a library", mend
	})...)
	var libraries []finding
	for _, f := range found {
		if dir := f.file(); !commands[dir[:max(0, strings.LastIndex(dir, "/"))]] {
			libraries = append(libraries, f)
		}
	}
	return libraries
}

// findBuiltins finds the calls of Go's built-in functions that judge says something
// about.
func findBuiltins(t *tree, judge func(p *pkg, name string, call *ast.CallExpr) (what, mend string)) []finding {
	var found []finding
	for _, p := range t.packages {
		for _, f := range p.sources() {
			ast.Inspect(f.ast, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				id, ok := call.Fun.(*ast.Ident)
				if !ok {
					return true
				}
				if _, builtin := p.info.Uses[id].(*types.Builtin); !builtin {
					return true
				}
				if what, mend := judge(p, id.Name, call); what != "" {
					found = append(found, finding{t.place(call), what, mend})
				}
				return true
			})
		}
	}
	return found
}

func stateRule() rule {
	return rule{name: "state", find: findState, exceptions: map[string]string{
		"version.go": "the linker sets the version of a release",
	}}
}

func findState(t *tree) []finding {
	var found []finding
	for _, p := range t.packages {
		for _, f := range p.sources() {
			for _, d := range f.ast.Decls {
				if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.VAR {
					found = append(found, mutable(t, p, g)...)
				}
			}
			ast.Inspect(f.ast, func(n ast.Node) bool {
				for _, x := range written(p, n) {
					if name := packageVariable(p, x); name != "" {
						found = append(found, finding{t.place(n), name + " is the package's, and is changed or pointed to here",
							"keep it in a struct that somebody owns"})
					}
				}
				return true
			})
		}
	}
	return found
}

// mutable finds variables whose declaration shows that they are there to change:
// no value, an empty container, something to lock.
func mutable(t *tree, p *pkg, g *ast.GenDecl) []finding {
	if g.Doc != nil && strings.Contains(g.Doc.List[len(g.Doc.List)-1].Text, "//go:embed ") {
		return nil
	}
	var found []finding
	for _, s := range g.Specs {
		v := s.(*ast.ValueSpec)
		what := ""
		switch {
		case len(v.Values) == 0:
			what = "has no value yet"
		case blank(v):
		default:
			for _, x := range v.Values {
				if w := changing(p, x); w != "" {
					what = w
				}
			}
		}
		if what != "" {
			found = append(found, finding{t.place(v), fmt.Sprintf("package variable %s %s", v.Names[0].Name, what),
				"keep it in a struct that somebody owns"})
		}
	}
	return found
}

// blank says whether a declaration only asserts something, as in var _ I = T{}.
func blank(v *ast.ValueSpec) bool {
	for _, name := range v.Names {
		if name.Name != "_" {
			return false
		}
	}
	return true
}

// changing says why a value is one to change, or "".
func changing(p *pkg, x ast.Expr) string {
	switch x := x.(type) {
	case *ast.UnaryExpr:
		if _, ok := x.X.(*ast.CompositeLit); ok && x.Op == token.AND {
			return "is a pointer to a struct"
		}
	case *ast.CompositeLit:
		if s, ok := x.Type.(*ast.SelectorExpr); ok && fromSync(p, s) {
			return "is a " + s.Sel.Name + " of package sync"
		}
	case *ast.CallExpr:
		if id, ok := x.Fun.(*ast.Ident); ok && (id.Name == "make" || id.Name == "new") {
			return "is made empty"
		}
	}
	return ""
}

func fromSync(p *pkg, s *ast.SelectorExpr) bool {
	x, ok := s.X.(*ast.Ident)
	if !ok {
		return false
	}
	from, ok := p.info.Uses[x].(*types.PkgName)
	return ok && within(from.Imported().Path(), "sync")
}

// written gives the operands that a node assigns to, counts, clears or takes the
// address of.
func written(p *pkg, n ast.Node) []ast.Expr {
	switch n := n.(type) {
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE {
			return n.Lhs
		}
	case *ast.IncDecStmt:
		return []ast.Expr{n.X}
	case *ast.RangeStmt:
		if n.Tok == token.ASSIGN {
			return []ast.Expr{n.Key, n.Value}
		}
	case *ast.UnaryExpr:
		if n.Op == token.AND {
			return []ast.Expr{n.X}
		}
	case *ast.CallExpr:
		id, ok := n.Fun.(*ast.Ident)
		if !ok || len(n.Args) == 0 {
			return nil
		}
		if _, builtin := p.info.Uses[id].(*types.Builtin); builtin && (id.Name == "delete" || id.Name == "clear" || id.Name == "copy") {
			return n.Args[:1]
		}
	}
	return nil
}

// packageVariable is the name of the package's variable that an operand is, or is a
// part of; "" where it is none.
func packageVariable(p *pkg, x ast.Expr) string {
	for {
		switch y := x.(type) {
		case *ast.ParenExpr:
			x = y.X
		case *ast.IndexExpr:
			x = y.X
		case *ast.SliceExpr:
			x = y.X
		case *ast.SelectorExpr:
			x = y.X
		case *ast.StarExpr:
			x = y.X
		case *ast.Ident:
			v, ok := p.info.Uses[y].(*types.Var)
			if !ok || v.Parent() != p.types.Scope() {
				return ""
			}
			return y.Name
		default:
			return ""
		}
	}
}
