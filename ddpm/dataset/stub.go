package dataset

import (
	"context"
	"errors"
)

func openFiles(ctx context.Context, path string, want Want) (Dataset, error) {
	return nil, errors.New("dataset: files can't be read yet")
}

func openGlyphs(uri, rest string, want Want) (Dataset, error) {
	return nil, errors.New("dataset: glyphs can't be drawn yet")
}
