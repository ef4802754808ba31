package safetensors

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// parseHeader parses the header's JSON, by hand because package json keeps the
// last of several equal keys, which the format forbids. Offsets stay as written.
func parseHeader(text []byte) (Header, error) {
	p := parser{json.NewDecoder(bytes.NewReader(text))}
	p.dec.UseNumber()
	var h Header
	err := p.object(func(key string) error {
		if key == metadataKey {
			h.Metadata = map[string]string{}
			return p.object(func(key string) (err error) {
				h.Metadata[key], err = p.text()
				return err
			})
		}
		t, err := p.tensor(key)
		h.Tensors = append(h.Tensors, t)
		return err
	})
	if err != nil {
		return Header{}, err
	}
	if _, err := p.dec.Token(); !errors.Is(err, io.EOF) {
		return Header{}, errors.New("there is more after its closing brace")
	}
	return h, nil
}

type parser struct{ dec *json.Decoder }

// token is Decoder.Token within the header, where an end comes too soon.
func (p parser) token() (json.Token, error) {
	tok, err := p.dec.Token()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return tok, err
}

// object reads an object whose keys differ; value reads what follows a key.
func (p parser) object(value func(key string) error) error {
	if err := p.delim('{'); err != nil {
		return err
	}
	seen := map[string]bool{}
	for p.dec.More() {
		key, err := p.text()
		if err != nil {
			return err
		}
		if seen[key] {
			return fmt.Errorf("the key %q appears twice", key)
		}
		seen[key] = true
		if err := value(key); err != nil {
			return fmt.Errorf("%q: %w", key, err)
		}
	}
	return p.delim('}')
}

func (p parser) tensor(name string) (Info, error) {
	t := Info{Name: name}
	var offsets []int64
	fields := 0
	err := p.object(func(key string) (err error) {
		fields++
		switch key {
		case "dtype":
			var d string
			d, err = p.text()
			t.DType = DType(d)
		case "shape":
			t.Shape, err = p.numbers()
		case "data_offsets":
			offsets, err = p.numbers()
		default:
			err = errors.New("unknown; a tensor has dtype, shape and data_offsets")
		}
		return err
	})
	if err != nil {
		return Info{}, err
	}
	if fields != 3 || len(offsets) != 2 {
		return Info{}, errors.New("want dtype, shape and two data_offsets")
	}
	t.Begin, t.End = offsets[0], offsets[1]
	return t, nil
}

// numbers reads an array of integers that are not negative.
func (p parser) numbers() ([]int64, error) {
	if err := p.delim('['); err != nil {
		return nil, err
	}
	list := []int64{}
	for p.dec.More() {
		tok, err := p.token()
		if err != nil {
			return nil, err
		}
		num, ok := tok.(json.Number)
		if !ok {
			return nil, fmt.Errorf("%v is no number", tok)
		}
		n, err := strconv.ParseUint(num.String(), 10, 63)
		if err != nil {
			return nil, fmt.Errorf("%s is no integer from 0 to 2^63-1", num)
		}
		list = append(list, int64(n))
	}
	return list, p.delim(']')
}

func (p parser) text() (string, error) {
	tok, err := p.token()
	if err != nil {
		return "", err
	}
	s, ok := tok.(string)
	if !ok {
		return "", fmt.Errorf("%v is no string", tok)
	}
	return s, nil
}

func (p parser) delim(want json.Delim) error {
	tok, err := p.token()
	if err != nil {
		return err
	}
	if tok != want {
		return fmt.Errorf("want %v, not %v", want, tok)
	}
	return nil
}
