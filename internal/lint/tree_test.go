package lint

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// module is the import path of the tree's root.
const module = "github.com/ddpm-cluster/ddpm-cluster"

// passedBy are folders that are no part of the module's sources: what .gitignore
// names, and git's own.
var passedBy = []string{".git", "bin", "dist", "ddpm-data", "__pycache__", ".venv", ".idea", ".vscode"}

// tree is the module's files: what it holds as text, and its Go packages.
type tree struct {
	text     []textFile
	packages []*pkg // sorted by folder
	fset     *token.FileSet
}

// textFile is a file that people read, by its path from the root.
type textFile struct {
	path    string
	content []byte
}

// pkg is the Go files of one folder that belong to the module, whatever their build
// constraints.
type pkg struct {
	dir   string // "." for the root
	files []goFile
	types *types.Package
	info  *types.Info
}

// goFile is a parsed file. Its positions are paths from the root.
type goFile struct {
	path            string
	ast             *ast.File
	test, generated bool
	lines           int
}

// sources are the files that people wrote for the product.
func (p *pkg) sources() []goFile {
	return slices.DeleteFunc(slices.Clone(p.files), func(f goFile) bool { return f.test || f.generated })
}

// product are the package's files without its tests.
func (p *pkg) product() []goFile {
	return slices.DeleteFunc(slices.Clone(p.files), func(f goFile) bool { return f.test })
}

// name is the package's name, or "" where the folder has tests alone.
func (p *pkg) name() string {
	if files := p.product(); len(files) > 0 {
		return files[0].ast.Name.Name
	}
	return ""
}

// load reads and parses the tree. Folders that the go command passes by, and
// modules below the root, are text only.
func load(root fs.FS) (*tree, error) {
	t := &tree{fset: token.NewFileSet()}
	byDir := make(map[string]*pkg)
	foreign := make(map[string]bool) // folders of no package of this module
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if slices.Contains(passedBy, d.Name()) {
				return fs.SkipDir
			}
			_, nested := fs.Stat(root, path.Join(name, "go.mod"))
			base := d.Name()
			foreign[name] = name != "." && (foreign[path.Dir(name)] || nested == nil ||
				base == "testdata" || base[0] == '_' || base[0] == '.')
			return nil
		}
		if !d.Type().IsRegular() {
			return nil
		}
		return t.add(root, name, foreign[path.Dir(name)], byDir)
	})
	if err != nil {
		return nil, err
	}
	for _, p := range byDir {
		t.packages = append(t.packages, p)
	}
	slices.SortFunc(t.packages, func(a, b *pkg) int { return strings.Compare(a.dir, b.dir) })
	t.check(byDir)
	return t, nil
}

// add reads one file into the tree, and into its package when it has one.
func (t *tree) add(root fs.FS, name string, foreign bool, byDir map[string]*pkg) error {
	content, err := fs.ReadFile(root, name)
	if err != nil {
		return err
	}
	if bytes.IndexByte(content[:min(len(content), 8000)], 0) >= 0 {
		return nil // binary, by git's own measure
	}
	t.text = append(t.text, textFile{name, content})
	if foreign || path.Ext(name) != ".go" {
		return nil
	}
	f, err := parser.ParseFile(t.fset, name, content, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return fmt.Errorf("parse: %w", err)
	}
	dir := path.Dir(name)
	if byDir[dir] == nil {
		byDir[dir] = &pkg{dir: dir}
	}
	byDir[dir].files = append(byDir[dir].files, goFile{
		path:      name,
		ast:       f,
		test:      strings.HasSuffix(name, "_test.go"),
		generated: ast.IsGenerated(f),
		lines:     bytes.Count(content, []byte("\n")),
	})
	return nil
}

// check resolves names and types as far as the module's own sources tell. Other
// modules and the standard library are not read: what has a type of theirs has none
// here. That keeps the rules quick, and free of build constraints and networks.
func (t *tree) check(byDir map[string]*pkg) {
	imports := &packageImporter{fset: t.fset, byDir: byDir}
	for _, p := range t.packages {
		imports.check(p)
	}
}

// packageImporter gives the type checker the module's own packages.
type packageImporter struct {
	fset  *token.FileSet
	byDir map[string]*pkg
}

// Import implements types.Importer.
func (i *packageImporter) Import(name string) (*types.Package, error) {
	dir, ours := inModule(name)
	if !ours || i.byDir[dir] == nil {
		return nil, fmt.Errorf("%s is not read", name)
	}
	i.check(i.byDir[dir])
	return i.byDir[dir].types, nil
}

func (i *packageImporter) check(p *pkg) {
	if p.info != nil {
		return
	}
	p.info = &types.Info{Uses: make(map[*ast.Ident]types.Object), Types: make(map[ast.Expr]types.TypeAndValue)}
	var files []*ast.File
	for _, f := range p.product() {
		files = append(files, f.ast)
	}
	// Errors are expected: files of all build constraints come together, and
	// foreign types are missing.
	c := types.Config{Importer: i, Error: func(error) {}}
	p.types, _ = c.Check(path.Join(module, p.dir), i.fset, files, p.info)
}

// inModule gives the folder of a package of this module.
func inModule(importPath string) (dir string, ours bool) {
	if importPath == module {
		return ".", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

// imported is the path that an import names.
func imported(s *ast.ImportSpec) string {
	name, _ := strconv.Unquote(s.Path.Value) // the parser has checked it
	return name
}

// within says whether dir is the folder parent or lies in it.
func within(dir, parent string) bool {
	return dir == parent || strings.HasPrefix(dir, parent+"/")
}

// withinAny says whether dir is or lies in one of the folders.
func withinAny(dir string, parents []string) bool {
	return slices.ContainsFunc(parents, func(parent string) bool { return within(dir, parent) })
}

// place is a position as file:line.
func (t *tree) place(n ast.Node) string {
	p := t.fset.Position(n.Pos())
	return fmt.Sprintf("%s:%d", p.Filename, p.Line)
}
