package raw

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// An archive's own end comes before gzip's, which has the checksum.
func TestDamagedTarGz(t *testing.T) {
	whole := testdata(t, "shard.tar.gz")
	damaged := bytes.Clone(whole)
	damaged[len(damaged)-8] ^= 1 // of the CRC-32 (RFC 1952, section 2.3.1)
	for name, v := range map[string]struct {
		content []byte
		want    error
	}{
		"whole":                  {whole, nil},
		"with a tape's padding":  {append(bytes.Clone(whole), make([]byte, 512)...), nil},
		"with another checksum":  {damaged, ErrDamaged},
		"of an archive unpacked": {testdata(t, "folders.tar"), nil},
	} {
		s, err := Open(t.Context(), files{"a.tar.gz": v.content}, "")
		if err != nil {
			t.Fatal(err)
		}
		list, err := look(t.Context(), s)
		if !errors.Is(err, v.want) || err == nil && len(list) != 5 {
			t.Errorf("%s: %d images, %v; want %v", name, len(list), err, v.want)
		}
		if err != nil && !strings.Contains(err.Error(), "a.tar.gz: damaged archive: gzip: invalid checksum; "+FixDownload) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
