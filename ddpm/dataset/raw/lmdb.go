package raw

import (
	"context"
	"fmt"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/lmdb"
)

// openLMDB takes databases whose values are image files. The folder of each is its
// class.
func (s *Source) openLMDB(ctx context.Context, files []File) error {
	s.Form, s.Files = "LMDB", files
	for _, f := range files {
		db, err := s.lmdb(ctx, f)
		if err != nil {
			return err
		}
		s.Images += int(min(db.Entries(), 1<<40))
	}
	s.each = func(ctx context.Context, yield func(Item) error) error {
		for _, f := range files {
			db, err := s.lmdb(ctx, f)
			if err != nil {
				return err
			}
			err = db.Each(func(key []byte, v lmdb.Value) error {
				name := f.Key + ": " + string(key)
				if v.Size > maxFile {
					return fmt.Errorf("%s has %d bytes; at most %d are read", name, v.Size, maxFile)
				}
				load := func(context.Context) ([]byte, error) { return db.Read(v) }
				return yield(Item{Name: name, Size: v.Size, Load: load, Label: NoLabel, Class: classOf(f.Key)})
			})
			if err != nil {
				return fmt.Errorf("%s: %w", f.Key, err)
			}
		}
		return nil
	}
	return nil
}

func (s *Source) lmdb(ctx context.Context, f File) (*lmdb.DB, error) {
	db, err := lmdb.Open(s.readerAt(ctx, f), f.Size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Key, err)
	}
	return db, nil
}
