package job

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/unet"
)

// npz is what evaluation tools read: a zip, not packed, of NumPy arrays. arr_0 holds
// the pixels, uint8 [n, height, width, channels]; arr_1 the classes, int64 [n], if
// the model has any.
func npz(images []Image, model unet.Config) ([]byte, error) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.CreateHeader(&zip.FileHeader{Name: "arr_0.npy", Method: zip.Store})
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(npyHeader("|u1", len(images), model.Size, model.Size, model.InChannels)); err != nil {
		return nil, err
	}
	for _, im := range images {
		if _, err := w.Write(im.Pixels); err != nil {
			return nil, err
		}
	}
	if model.ClassEmbeds > 0 {
		if w, err = z.CreateHeader(&zip.FileHeader{Name: "arr_1.npy", Method: zip.Store}); err != nil {
			return nil, err
		}
		data := npyHeader("<i8", len(images))
		for _, im := range images {
			data = binary.LittleEndian.AppendUint64(data, uint64(im.Class))
		}
		if _, err := w.Write(data); err != nil {
			return nil, err
		}
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// npyHeader is the header of NumPy's format 1.0: magic, version, length, and a
// Python dictionary padded so that the data begin at a multiple of 64.
func npyHeader(descr string, shape ...int) []byte {
	dims := make([]string, len(shape))
	for i, d := range shape {
		dims[i] = fmt.Sprint(d)
	}
	text := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s,), }", descr, strings.Join(dims, ", "))
	const fixed = 10
	text += strings.Repeat(" ", (64-(fixed+len(text)+1)%64)%64) + "\n"
	b := append([]byte("\x93NUMPY\x01\x00"), 0, 0)
	binary.LittleEndian.PutUint16(b[8:], uint16(len(text)))
	return append(b, text...)
}
