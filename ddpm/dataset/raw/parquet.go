package raw

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/parquet-go/parquet-go"
)

// openParquet takes the shards of a Hugging Face image folder: a column with a field
// "bytes", the image file, and a column "label", or one whose name ends so.
func (s *Source) openParquet(ctx context.Context, files []File) error {
	s.Form, s.Files = "parquet", files
	for _, f := range files {
		t, err := s.table(ctx, f)
		if err != nil {
			return err
		}
		s.Images += int(t.file.NumRows())
		if s.Classes == nil {
			s.Classes = t.classes()
		}
	}
	s.each = func(ctx context.Context, yield func(Item) error) error {
		for _, f := range files {
			t, err := s.table(ctx, f)
			if err == nil {
				err = t.each(f.Key, yield)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	return nil
}

// table is a parquet file and the numbers of its columns.
type table struct {
	file         *parquet.File
	image, label int // label may be -1
	labelName    string
}

func (s *Source) table(ctx context.Context, f File) (t table, err error) {
	defer guard(f.Key, &err)
	content := s.readerAt(ctx, f)
	if err := checkFooter(content, f.Size); err != nil {
		return table{}, fmt.Errorf("%s: %w; %s", f.Key, err, FixDownload)
	}
	file, err := parquet.OpenFile(content, f.Size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return table{}, fmt.Errorf("%s: no parquet file, or damaged: %w; %s", f.Key, err, FixDownload)
	}
	t = table{file: file, image: -1, label: -1}
	for k, column := range file.Schema().Columns() {
		last := column[len(column)-1]
		switch {
		case t.image < 0 && len(column) == 2 && last == "bytes":
			t.image = k
		case t.label < 0 && len(column) == 1 && ending("label", "labels")(last):
			t.label, t.labelName = k, last
		}
	}
	if t.image < 0 {
		return table{}, fmt.Errorf("%s: no column has a field \"bytes\" with image files, as Hugging Face's image folders have it", f.Key)
	}
	return t, nil
}

// checkFooter looks at the end of a file: the length of its footer and "PAR1". The
// library takes memory for a footer before it looks whether the file has as much.
func checkFooter(file io.ReaderAt, size int64) error {
	var end [8]byte
	if _, err := file.ReadAt(end[:], size-8); size < 12 || err != nil || string(end[4:]) != "PAR1" {
		return errors.New("no parquet file, or cut off: it does not end with PAR1")
	}
	if footer := int64(binary.LittleEndian.Uint32(end[:])); footer > size-12 {
		return fmt.Errorf("damaged parquet file: a footer of %d bytes in a file of %d", footer, size)
	}
	return nil
}

// guard makes the library's panics over damaged files errors.
func guard(name string, err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("%s: damaged parquet file: %v; %s", name, r, FixDownload)
	}
}

// classes are the names of the labels, from Hugging Face's description of the columns;
// nil where it has none.
func (t table) classes() []string {
	text, ok := t.file.Lookup("huggingface")
	if !ok || t.label < 0 {
		return nil
	}
	var description struct {
		Info struct {
			Features map[string]json.RawMessage `json:"features"`
		} `json:"info"`
	}
	var label struct {
		Names []string `json:"names"`
	}
	if json.Unmarshal([]byte(text), &description) != nil || json.Unmarshal(description.Info.Features[t.labelName], &label) != nil {
		return nil
	}
	return label.Names
}

// each gives the images, row after row.
func (t table) each(name string, yield func(Item) error) error {
	row := 0
	for _, group := range t.file.RowGroups() {
		rows := group.Rows()
		err := t.eachOf(rows, func(content []byte, label int) error {
			row++
			return yield(Item{
				Name: fmt.Sprintf("%s, row %d", name, row-1), Size: int64(len(content)), Load: loaded(content), Label: label,
			})
		}, name)
		if err = closing(rows, err); err != nil {
			return err
		}
	}
	return nil
}

func (t table) eachOf(rows parquet.Rows, yield func(content []byte, label int) error, name string) error {
	buffer := make([]parquet.Row, 16)
	for {
		n, err := readRows(rows, buffer, name)
		for _, row := range buffer[:n] {
			content, label := t.cells(row)
			if err := yield(content, label); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: damaged parquet file: %w; %s", name, err, FixDownload)
		}
	}
}

func readRows(rows parquet.Rows, buffer []parquet.Row, name string) (n int, err error) {
	defer guard(name, &err)
	return rows.ReadRows(buffer)
}

// cells takes the image and the label out of a row.
func (t table) cells(row parquet.Row) (content []byte, label int) {
	label = NoLabel
	for _, v := range row {
		if v.IsNull() {
			continue
		}
		switch v.Column() {
		case t.image:
			if v.Kind() == parquet.ByteArray {
				content = slices.Clone(v.ByteArray())
			}
		case t.label:
			switch v.Kind() {
			case parquet.Int64:
				label = int(v.Int64())
			case parquet.Int32:
				label = int(v.Int32())
			}
		}
	}
	if label < 0 {
		label = NoLabel
	}
	return content, label
}
