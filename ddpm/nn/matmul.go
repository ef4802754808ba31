package nn

import (
	"fmt"

	"gorgonia.org/tensor"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
)

// MatMul implements tensor.MatMuler: out = a·b for matrices [m, k] and [k, n],
// transposed views included. Sums run over k as kernel.Gemm defines them.
func (e *Engine) MatMul(a, b, out tensor.Tensor) error {
	ma, mb, mc, err := matrices(a, b, out)
	if err != nil {
		return fmt.Errorf("matrix product: %w", err)
	}
	kernel.Gemm(e.pool, ma, mb, mc.Data, mc.RowStride, false)
	return nil
}

func matrices(a, b, out tensor.Tensor) (ma, mb, mc kernel.Mat, err error) {
	if ma, err = matrix(a); err != nil {
		return
	}
	if mb, err = matrix(b); err != nil {
		return
	}
	if mc, err = matrix(out); err != nil {
		return
	}
	if ma.Cols != mb.Rows || mc.Rows != ma.Rows || mc.Cols != mb.Cols || mc.ColStride != 1 {
		err = fmt.Errorf("shapes %v · %v do not give a row-major %v", a.Shape(), b.Shape(), out.Shape())
	}
	return
}

// matrix describes a tensor of two dimensions, a view or not, to the kernels.
func matrix(t tensor.Tensor) (kernel.Mat, error) {
	data, ok := t.Data().([]float32)
	if !ok || t.Dims() != 2 {
		return kernel.Mat{}, fmt.Errorf("%v of shape %v is not a float32 matrix", t.Dtype(), t.Shape())
	}
	strides := t.Strides()
	return kernel.Mat{
		Data: data, Rows: t.Shape()[0], Cols: t.Shape()[1],
		RowStride: strides[0], ColStride: strides[1],
	}, nil
}

// mul sets out = a·b; out is row-major.
func (e *Engine) mul(a, b, out kernel.Mat) {
	kernel.Gemm(e.pool, a, b, out.Data, out.RowStride, false)
}
