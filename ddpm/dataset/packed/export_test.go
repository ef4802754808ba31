package packed

// Settle waits until nothing is being fetched.
func (r *Reader) Settle() { r.group.Wait() }
